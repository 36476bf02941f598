#!/usr/bin/env python3
"""Counts miod's system calls per request, under strace.

    python3 benches/syscalls.py [--miod PATH] [--check]

Each workload runs twice, with N and with 3N requests, on fresh servers. The difference,
divided by 2N, doesn't contain start and exit. The counts hold on every machine. With
--check the exit status is 1 if a count is above its bound. Needs strace; Linux only.
"""
import argparse, collections, os, re, selectors, signal, socket, subprocess, sys, tempfile

CONNECTIONS = 64

# The maximum of system calls per request, and their names. A read and a write are
# necessary. Connections that are ready together share one epoll_wait.
BOUNDS = {
    "kept alive, 1 KiB": (2.2, "read, write, a share of epoll_wait"),
    "pipelined by 16, 1 KiB": (0.2, "the same for 16 requests"),
    "a connection each, 1 KiB": (4.3, "accept, read, write, close"),
    "range of 1 KiB in 10 MiB": (3.2, "read, pread, write"),
    "404": (2.2, "read, write: the 404 is cached"),
    "304": (2.2, "read, write"),
    "compressed to 1 KiB": (2.2, "read, write"),
}


def request(path, lines="", close=False):
    ending = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}{ending}\r\n".encode()


CODINGS = "Accept-Encoding: gzip, deflate, br, zstd\r\n"

WORKLOADS = {
    "kept alive, 1 KiB": (request("/small.txt"), 1, False),
    "pipelined by 16, 1 KiB": (request("/small.txt") * 16, 16, False),
    "a connection each, 1 KiB": (request("/small.txt", close=True), 1, True),
    "range of 1 KiB in 10 MiB": (request("/large.bin", "Range: bytes=5000000-5001023\r\n"), 1, False),
    "404": (request("/no/such/file.html"), 1, False),
    "304": (request("/small.txt", "If-None-Match: *\r\n"), 1, False),
    "accepting codings, 1 KiB": (request("/small.bin", CODINGS), 1, False),
    "compressed to 1 KiB": (request("/page.html", CODINGS), 1, False),
}


class Load:
    """Sixty-four connections, each with one batch of requests in flight."""

    def __init__(self, address, server, batch, responses, close):
        self.address, self.server, self.batch = address, server, batch
        self.responses, self.close = responses, close

    def run(self, rounds):
        """Sends the batch `rounds` times on each connection."""
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
                sys.exit("error: no response within 30 s")
            for key, _ in ready:
                sock = key.fileobj
                data = sock.recv(1 << 20)
                left, seen = state[sock]
                seen += data.count(b"HTTP/1.1 ")
                if not data:
                    sys.exit("error: the server closed")
                if seen >= self.responses and self.is_complete(data):
                    left, seen = left - 1, 0
                    if left == 0:
                        self.end(selector, state, sock)
                        continue
                    state[sock] = (left, 0)
                    sock.sendall(self.batch)
                else:
                    state[sock] = (left, seen)

    def run_together(self):
        """Connects while the server is stopped, so that the number of waiting
        connections doesn't depend on the speed of this client."""
        os.kill(self.server, signal.SIGSTOP)
        socks = [socket.create_connection(self.address, 10) for _ in range(CONNECTIONS)]
        for sock in socks:
            sock.sendall(self.batch)
        os.kill(self.server, signal.SIGCONT)
        for sock in socks:
            while sock.recv(1 << 20):
                pass
            sock.close()

    def is_complete(self, data):
        # Responses are small and sent in one write. A split one is complete later.
        return self.responses == 1 or data.endswith(b"x") or data.endswith(b"\n")

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
    """The files that the workloads request."""
    words = b" ".join(b"%x" % (number * 2654435761 % 9973) for number in range(490))
    files = {"small.txt": b"x" * 1024, "small.bin": b"x" * 1024, "large.bin": b"x" * (10 << 20), "page.html": words}
    for name, content in files.items():
        path = os.path.join(root, name)
        with open(path, "wb") as file:
            file.write(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))


def serve(miod, root, work):
    """Starts miod under strace. Returns the process, its address, and the file of the counts."""
    counts = os.path.join(work, "counts")
    command = ["strace", "-f", "-c", "-o", counts, miod, "serve", root, "-b", "127.0.0.1", "-p", "0", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    port = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline()).group(1)
    return process, ("127.0.0.1", int(port)), counts


def measure(miod, root, name, rounds):
    """The system calls of one run and their numbers."""
    batch, responses, close = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as work:
        process, address, counts = serve(miod, root, work)
        # strace doesn't pass on signals, so they are sent to the server itself.
        (server,) = map(int, open(f"/proc/{process.pid}/task/{process.pid}/children").read().split())
        try:
            Load(address, server, batch, responses, close).run(rounds)
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
        sys.exit("error: too many system calls: " + ", ".join(high))


if __name__ == "__main__":
    main()
