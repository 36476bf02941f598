#!/usr/bin/env python3
"""Counts miod's system calls per request, under strace.

    python3 benches/syscalls.py [--miod PATH] [--check]

Each workload runs twice, with N and with 3N requests on fresh servers; the
difference, divided by 2N, has no start and no end in it. Timings mean nothing
here; counts hold on every machine. With --check the exit status is 1 if a
count is above its bound. Needs strace; Linux only.
"""
import argparse, collections, os, re, selectors, signal, socket, subprocess, sys, tempfile

CONNECTIONS = 64

# Most system calls per request, and what they are. A read and a write are what
# cannot be left out; waiting for events is shared by those who are ready together.
BOUNDS = {
    "kept alive, 1 KiB": (2.2, "read, write, a share of epoll_wait"),
    "pipelined by 16, 1 KiB": (0.2, "the same for 16 requests"),
    "a connection each, 1 KiB": (4.3, "accept, read, write, close"),
    "range of 1 KiB in 10 MiB": (3.2, "read, pread, write"),
    "404": (2.2, "read, write: the cache knows"),
    "304": (2.2, "read, write"),
}


def request(path, lines="", close=False):
    ending = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}{ending}\r\n".encode()


WORKLOADS = {
    "kept alive, 1 KiB": (request("/small.txt"), 1, False),
    "pipelined by 16, 1 KiB": (request("/small.txt") * 16, 16, False),
    "a connection each, 1 KiB": (request("/small.txt", close=True), 1, True),
    "range of 1 KiB in 10 MiB": (request("/large.bin", "Range: bytes=5000000-5001023\r\n"), 1, False),
    "404": (request("/no/such/file.html"), 1, False),
    "304": (request("/small.txt", "If-None-Match: *\r\n"), 1, False),
}


class Load:
    """Sixty-four connections, each with one batch of requests under way."""

    def __init__(self, address, server, batch, answers, close):
        self.address, self.server, self.batch = address, server, batch
        self.answers, self.close = answers, close

    def run(self, rounds):
        """Has each connection's batch answered so many times."""
        if self.close:
            for _ in range(rounds):
                self.run_together()
            return
        selector = selectors.DefaultSelector()
        state = {}
        for _ in range(CONNECTIONS):
            self.begin(selector, state, rounds)
        while state:
            ready = selector.select(30)
            if not ready:
                sys.exit("error: no answer within 30 s")
            for key, _ in ready:
                sock = key.fileobj
                data = sock.recv(1 << 20)
                left, seen = state[sock]
                seen += data.count(b"HTTP/1.1 ")
                if not data:
                    sys.exit("error: the server closed")
                if seen >= self.answers and self.whole(data):
                    left, seen = left - 1, 0
                    if left == 0:
                        self.end(selector, state, sock)
                        continue
                    state[sock] = (left, 0)
                    sock.sendall(self.batch)
                else:
                    state[sock] = (left, seen)

    def run_together(self):
        """Connections that come while the server is held, so that how many it
        finds at once doesn't hang on how fast this client is."""
        os.kill(self.server, signal.SIGSTOP)
        socks = [socket.create_connection(self.address, 10) for _ in range(CONNECTIONS)]
        for sock in socks:
            sock.sendall(self.batch)
        os.kill(self.server, signal.SIGCONT)
        for sock in socks:
            while sock.recv(1 << 20):
                pass
            sock.close()

    def whole(self, data):
        # Answers are small and leave in one write; what is cut anyway ends later.
        return self.answers == 1 or data.endswith(b"x") or data.endswith(b"\n")

    def begin(self, selector, state, left):
        sock = socket.create_connection(self.address, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ)
        state[sock] = (left, 0)
        sock.sendall(self.batch)

    def end(self, selector, state, sock):
        selector.unregister(sock)
        sock.close()
        del state[sock]


def make_files(root):
    """What the workloads ask for."""
    for name, size in (("small.txt", 1024), ("large.bin", 10 << 20)):
        path = os.path.join(root, name)
        with open(path, "wb") as file:
            file.write(b"x" * size)
        os.utime(path, (1_700_000_000, 1_700_000_000))


def serve(miod, root, work):
    """Starts miod under strace; the process and its address."""
    counts = os.path.join(work, "counts")
    command = ["strace", "-f", "-c", "-o", counts, miod, "serve", root, "-b", "127.0.0.1", "-p", "0", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    port = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline()).group(1)
    return process, ("127.0.0.1", int(port)), counts


def measure(miod, root, name, rounds):
    """All system calls of one run."""
    batch, answers, close = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as work:
        process, address, counts = serve(miod, root, work)
        # strace passes signals on to nobody: the server itself is asked.
        (server,) = map(int, open(f"/proc/{process.pid}/task/{process.pid}/children").read().split())
        try:
            Load(address, server, batch, answers, close).run(rounds)
        finally:
            os.kill(server, signal.SIGTERM)
            process.wait(30)
        calls = collections.Counter()
        for line in open(counts):
            fields = line.split()
            if len(fields) >= 5 and fields[0].replace(".", "").isdigit() and fields[-1] != "total":
                calls[fields[-1]] = int(fields[3])
        return calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--miod", default="target/release/miod")
    parser.add_argument("--check", action="store_true", help="fail above a bound")
    options = parser.parse_args()
    high = []
    with tempfile.TemporaryDirectory() as root:
        make_files(root)
        print(f"{'workload':26} {'calls':>6} {'bound':>6}  which")
        for name, (bound, _) in BOUNDS.items():
            few, many = 10, 30
            before, after = (measure(options.miod, root, name, rounds) for rounds in (few, many))
            requests = CONNECTIONS * (many - few) * WORKLOADS[name][1]
            calls = {call: (after[call] - before[call]) / requests for call in after}
            total = sum(calls.values())
            which = ", ".join(f"{call} {n:.2f}" for call, n in sorted(calls.items(), key=lambda c: -c[1]) if n >= 0.01)
            print(f"{name:26} {total:6.2f} {bound:6.2f}  {which}", flush=True)
            if total > bound:
                high.append(name)
    if options.check and high:
        sys.exit("error: more system calls than there should be: " + ", ".join(high))


if __name__ == "__main__":
    main()
