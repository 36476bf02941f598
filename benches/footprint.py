#!/usr/bin/env python3
"""Measures the size of the binary, and memory: when idle, for a connection, for a
stored session, and after a peak.

    python3 benches/footprint.py [--miod PATH] [--check]

With --check the exit status is 1 if a result is above its bound. Linux only.
"""
import argparse, os, re, resource, socket, subprocess, sys, tempfile

# Each bound has its reason beside it. A change of a bound needs a new reason.
BOUNDS = {
    # The server with its command line and log, fat LTO, stripped: 1,010,616 measured.
    # With sessions (JSON, HMAC-SHA256, base64, templates, pages): 1,242,360 measured.
    # Outbound connections, datagram sockets and their tools add 200,000, the HTTP client and
    # the line client 200,000, passwords with bcrypt, HTTP Basic and login 140,000, the
    # durable store (redb) and its users 800,000, the quiz and the board 250,000: 2,725,080
    # measured. The checks of a start that report all errors, the demonstration's rules, the
    # reserve for a full disk, pages of listings and the layout of all pages add 210,000:
    # 2,936,640 measured.
    # TLS adds 1,650,000, most of it ring and rustls, and the laboratory's pages about TLS, with
    # their templates, add 95,000. Dependencies that no request passes through are built small,
    # which saves 60,000: 4,645,600 measured.
    # 4,645,600 before the configuration file, the formats of logs, systemd and landlock.
    # 6,165,488 before gzip (flate2, 133,000), zstd (532,000), mail, captures and negotiation.
    # 7,350,200 before the mailbox with its parser of messages (370,000), and --tap (200,000).
    "binary, bytes": 8_300_000,
    # The whole process: 4,212 to 4,700 measured; it was 3,616 before TLS made the binary
    # larger. Most of it are pages of libc and of the binary, which the kernel maps in groups
    # and can drop. The address of the binary differs in each run, and the groups with the
    # state of the page cache, which changes the result by 0.5 MiB. A linker script that placed
    # the functions of the start next to each other saved 0.9 MiB; it was removed because it
    # made the build harder to understand.
    # 5,940 measured with the binary of 7 MB, 6,300 to 6,710 with that of 8 MB.
    "memory when idle, KiB": 7_000,
    # The part that can't be dropped: 232 to 244 measured.
    # 356 since each thread may have buffers that are used again.
    # 364 to 376 with the mailbox and the tap.
    "anonymous when idle, KiB": 400,
    # The slot, its share of the slab and a timer: 101 measured over 10,000.
    "an idle connection, bytes": 112,
    # More than when idle, after the peak: the slab and the timers are freed, the
    # allocator keeps a part.
    "left after a peak, KiB": 2_048,
    # A session with one number: its entry, its text, and its share of the slab and the
    # table, which grow by doubling: 104 measured over 50,000, and 112 if the code of the
    # counter wasn't resident before.
    "a stored session, bytes": 140,
}

CONNECTIONS = 10_000
SESSIONS = 50_000


def memory(pid):
    """Resident and anonymous memory in KiB."""
    status = open(f"/proc/{pid}/status").read()
    return tuple(int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1)) for name in ("VmRSS", "RssAnon"))


def exchange(sock, count=1):
    """Requests a small file `count` times."""
    sock.sendall(b"GET /small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n" * count)
    seen = 0
    while seen < count * 1024:
        data = sock.recv(1 << 20)
        if not data:
            sys.exit("error: the server closed")
        seen += data.count(b"x")


def visit(sock, count):
    """Requests the counter `count` times without a cookie."""
    sock.sendall(b"GET /counter HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n" * count)
    seen = b""
    while seen.count(b'{"count":1}') < count:
        data = sock.recv(1 << 20)
        if not data:
            sys.exit("error: the server closed")
        seen += data


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--miod", default="target/release/miod")
    parser.add_argument("--check", action="store_true", help="fail above a bound")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(CONNECTIONS, hard - 100)
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "small.txt"), "wb") as file:
            file.write(b"x" * 1024)
        command = [options.miod, "serve", root, "--apps", "-b", "127.0.0.1", "-p", "0", "-q", "--idle-timeout", "600"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            port = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline()).group(1)
            address = ("127.0.0.1", int(port))
            figures = {"binary, bytes": os.path.getsize(options.miod)}
            idle, anonymous = memory(process.pid)
            figures["memory when idle, KiB"] = idle
            figures["anonymous when idle, KiB"] = anonymous
            connections = []
            # The first connections also fill caches and the allocator, so they don't count.
            for index in range(count):
                if index == 100:
                    before = memory(process.pid)[0]
                sock = socket.create_connection(address, 10)
                exchange(sock)
                connections.append(sock)
            figures["an idle connection, bytes"] = (memory(process.pid)[0] - before) * 1024 // (count - 100)
            for sock in connections:
                exchange(sock, 16)
            for sock in connections:
                sock.close()
            # When the server responds on a later connection, it has closed the earlier ones.
            with socket.create_connection(address, 10) as sock:
                exchange(sock)
            figures["left after a peak, KiB"] = memory(process.pid)[0] - idle
            before = memory(process.pid)[0]
            with socket.create_connection(address, 10) as sock:
                for _ in range(SESSIONS // 100):
                    visit(sock, 100)
            figures["a stored session, bytes"] = (memory(process.pid)[0] - before) * 1024 // SESSIONS
        finally:
            process.terminate()
            process.wait(30)
    for name, figure in figures.items():
        print(f"{name:28} {figure:>10,}  bound {BOUNDS[name]:>10,}")
    high = [name for name, figure in figures.items() if figure > BOUNDS[name]]
    if options.check and high:
        sys.exit("error: above the bound: " + ", ".join(high))


if __name__ == "__main__":
    main()
