#!/usr/bin/env python3
"""How long a small request waits during expensive requests.

    python3 benches/stalls.py [--miod PATH] [--only NAME] [--most MS]

One connection requests 1 KiB repeatedly. Meanwhile each of these happens several times: a
hundred HEADs of a directory of 10,000 files in one write; single listings of it; a hundred
posts of 1 MB of JSON whose last bytes arrive together; the list of 200,000 keys, and
pipelined HEADs of it; thousands of stalled heads that time out together; thousands of clients
that request 100 kB at once; durable posts during password checks. It prints the median, the
99th percentile and the longest time of the small request; in the last case, of a durable
post. With --most the exit status is 1 if one took longer. The server runs on CPU 0, the
clients on CPU 1.
"""
import argparse, base64, multiprocessing, os, re, resource, socket, subprocess, sys, tempfile, time


def pin(cpu):
    """Prepares a new process: it runs on this CPU with normal priority."""
    def prepare():
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, {cpu % os.cpu_count()})
    return prepare


class Server:
    """miod with these arguments, until the end of a with block."""

    def __init__(self, miod, *arguments):
        command = [miod, *arguments, "-b", "127.0.0.1", "-p", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        preexec_fn=pin(0))
        ports = re.findall(r"127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        self.port, self.kv = int(ports[0]), int(ports[-1])

    def connect(self, port=None):
        sock = socket.create_connection(("127.0.0.1", port or self.port), 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


def head(method, path, lines=""):
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


def receive(sock):
    """Reads one response with a Content-Length. Returns its status."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed")
        seen += data
    text, _, body = seen.partition(b"\r\n\r\n")
    length = int((re.search(rb"(?i)content-length: (\d+)", text) or [0, 0])[1])
    while len(body) < length:
        body += sock.recv(65536)
    return int(text[9:12])


class Probe:
    """Sends a small request repeatedly, in its own process, and measures the time of each in seconds."""

    def __init__(self, server, request, port=None):
        self.sock, self.request, self.since = server.connect(port), request, 0
        for _ in range(50):
            self.exchange()

    def exchange(self):
        begin = time.perf_counter()
        self.sock.sendall(self.request)
        receive(self.sock)
        return begin, time.perf_counter() - begin

    def begin(self):
        """Starts the measurement: earlier requests don't count."""
        self.since = time.perf_counter()

    def __enter__(self):
        self.results, child = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(child,))
        self.process.start()
        self.begin()
        return self

    def run(self, pipe):
        times = []
        while not pipe.poll():
            times.append(self.exchange())
        pipe.send(times)

    def __exit__(self, *_):
        self.results.send("over")
        self.times = [took for begin, took in self.results.recv() if begin + took >= self.since]
        self.process.join()


def drain(sock):
    """Reads until the server closes."""
    try:
        while sock.recv(1 << 20):
            pass
    except OSError:
        pass


def directory(root):
    for index in range(10_000):
        open(os.path.join(root, "many", f"file{index:05}.txt"), "w").close()


def heads_of_a_listing(options, root):
    with Server(options.miod, "serve", root, "--listing") as server:
        with Probe(server, head("GET", "/small.txt")) as probe:
            for _ in range(3):
                sock = server.connect()
                sock.sendall(head("HEAD", "/many/") * 99 + head("HEAD", "/many/", "Connection: close\r\n"))
                drain(sock)
        yield probe


def listings(options, root):
    with Server(options.miod, "serve", root, "--listing") as server:
        with Probe(server, head("GET", "/small.txt")) as probe:
            for order in ("name", "size", "modified"):
                sock = server.connect()
                sock.sendall(head("GET", f"/many/?sort={order}", "Connection: close\r\n"))
                drain(sock)
        yield probe


def json_posts(options, root):
    body = ("{" + ",".join(f'"{index}":1' for index in range(100_000)))[:1_000_000].rsplit(",", 1)[0].encode() + b"}"
    with Server(options.miod, "kv") as server:
        with Probe(server, head("GET", "/none")) as probe:
            socks = []
            for _ in range(100):
                sock = server.connect()
                lines = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                sock.sendall(head("POST", "/", lines) + body[:-1])
                socks.append(sock)
            time.sleep(0.5)
            probe.begin()
            for sock in socks:
                sock.sendall(body[-1:])
            for sock in socks:
                receive(sock)
        yield probe


def keys(options, root):
    with Server(options.miod, "kv") as server:
        sock = server.connect()
        for start in range(0, 200_000, 500):
            batch = b"".join(head("PUT", f"/key{index}", "Content-Type: application/json\r\nContent-Length: 1\r\n") + b"1"
                             for index in range(start, start + 500))
            sock.sendall(batch)
            seen = 0
            while seen < 500:
                seen += sock.recv(1 << 20).count(b"HTTP/1.1 201")
        with Probe(server, head("GET", "/none")) as probe:
            for request in (head("HEAD", "/") * 19 + head("HEAD", "/", "Connection: close\r\n"),
                            head("GET", "/", "Connection: close\r\n")):
                other = server.connect()
                other.sendall(request)
                drain(other)
        yield probe


def timeouts(options, root):
    with Server(options.miod, "serve", root, "--header-timeout", "1") as server:
        with Probe(server, head("GET", "/small.txt")) as probe:
            socks = [server.connect() for _ in range(options.many)]
            for sock in socks:
                sock.sendall(b"GET / HTTP/1.1\r\n")
            probe.begin()
            time.sleep(2.5)
        yield probe


def burst(options, root):
    with Server(options.miod, "serve", root) as server:
        with Probe(server, head("GET", "/small.txt")) as probe:
            socks = [server.connect() for _ in range(options.many)]
            probe.begin()
            for sock in socks:
                sock.sendall(head("GET", "/large.bin"))
            time.sleep(2)
        yield probe


def passwords(options, root):
    with tempfile.TemporaryDirectory() as data:
        users = os.path.join(data, "users")
        subprocess.run([options.miod, "passwd", "--cost", "12", users, "alice"], input="apple\n", text=True, check=True,
                       stdout=subprocess.DEVNULL)
        arguments = ["--auth", f"/private={users}", "--kv", "127.0.0.1:0", "--data", data]
        with Server(options.miod, "serve", root, *arguments) as server:
            post = head("POST", "/", "Content-Type: application/json\r\nContent-Length: 1\r\n") + b"1"
            with Probe(server, post, server.kv) as probe:
                socks = []
                for number in range(8):
                    credentials = base64.b64encode(f"alice:wrong{number}".encode()).decode()
                    sock = server.connect()
                    sock.sendall(head("GET", "/private/x", f"Authorization: Basic {credentials}\r\n"))
                    socks.append(sock)
                for sock in socks:
                    receive(sock)
            yield probe


CASES = {
    "100 HEADs of a listing in one write": heads_of_a_listing,
    "listings of 10,000 files": listings,
    "100 posts of 1 MB of JSON": json_posts,
    "200,000 keys": keys,
    "many timeouts at once": timeouts,
    "many requests for 100 kB at once": burst,
    "durable posts during password checks": passwords,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--miod", default="target/release/miod")
    parser.add_argument("--only", help="only the cases whose name contains this")
    parser.add_argument("--many", type=int, default=2_000, help="clients in a burst; beyond a few thousand the loopback drops segments")
    parser.add_argument("--most", type=float, help="fail if a small request took longer, in ms")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    os.sched_setaffinity(0, {1 % os.cpu_count()})
    try:
        # Otherwise the result would include the time that the other clients keep the processor.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        print("note: without permission for real-time priority the clients delay each other", file=sys.stderr)
    slow = False
    with tempfile.TemporaryDirectory(dir="/var/tmp") as root:
        os.mkdir(os.path.join(root, "many"))
        directory(root)
        for name, size in (("small.txt", 1024), ("large.bin", 100_000)):
            with open(os.path.join(root, name), "wb") as file:
                file.write(b"x" * size)
        print(f"{'during':38} {'p50':>9} {'p99':>9} {'longest':>9}  requests")
        for name, case in CASES.items():
            if options.only and options.only not in name:
                continue
            for probe in case(options, root):
                times = sorted(probe.times) or [0]
                at = lambda share: times[min(len(times) - 1, int(len(times) * share))] * 1000
                print(f"{name:38} {at(.5):6.2f} ms {at(.99):6.2f} ms {at(1):6.2f} ms  {len(times)}", flush=True)
                slow |= options.most is not None and at(1) > options.most
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
