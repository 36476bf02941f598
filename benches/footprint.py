#!/usr/bin/env python3
"""Tells what miod weighs: its binary, its memory when idle, a held connection,
a stored session, and what stays after a peak.

    python3 benches/footprint.py [--miod PATH] [--check]

With --check the exit status is 1 if something is above its bound. Linux only.
"""
import argparse, os, re, resource, socket, subprocess, sys, tempfile

# What is recorded here is the law: who raises a bound writes the reason beside it.
BOUNDS = {
    # The server with its command line and log, fat LTO, stripped: 1,010,616 measured.
    # Sessions brought JSON, HMAC-SHA256, base64, templates and the pages made of
    # them: 1,242,360 measured. Outbound connections, datagram sockets and the tools on
    # them are 200,000 more, the HTTP client and the line client as many, passwords with
    # bcrypt, HTTP Basic and login 140,000, the durable store (redb) with what is on it
    # 800,000, the quiz and the board 250,000: 2,725,080 measured.
    "binary, bytes": 2_900_000,
    # The whole process, most of it libc and the binary's own pages, which the kernel maps
    # by the sixteen: 3,616 measured. A linker script that put side by side what runs at
    # the start saved 0.9 MiB of it, all of it pages of files that the system can drop, and
    # cost every builder a page of mangled names; it is gone. Where the kernel loads the
    # binary decides how many of its pages share a window: 0.1 MiB more or less.
    "memory when idle, KiB": 3_900,
    # Of that, what is the process's own and can't be dropped: 232 to 244 measured.
    "anonymous when idle, KiB": 300,
    # The slot, its share of the slab and a timer: 101 measured over 10,000.
    "an idle connection, bytes": 112,
    # Above the memory when idle, after the peak is over: the slab and the timers
    # are given back, the allocator keeps some.
    "left after a peak, KiB": 2_048,
    # Of one number: its entry and its text, and its share of the slab and the
    # table, which grow by doubling: 104 measured over 50,000, and 112 when the code of
    # the counter wasn't resident before.
    "a stored session, bytes": 140,
}

HELD = 10_000
SESSIONS = 50_000


def memory(pid):
    """Resident and anonymous memory in KiB."""
    status = open(f"/proc/{pid}/status").read()
    return tuple(int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1)) for name in ("VmRSS", "RssAnon"))


def ask(sock, count=1):
    """Has a small file answered so many times."""
    sock.sendall(b"GET /small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n" * count)
    seen = 0
    while seen < count * 1024:
        data = sock.recv(1 << 20)
        if not data:
            sys.exit("error: the server closed")
        seen += data.count(b"x")


def visit(sock, count):
    """Has the counter asked so many times by visitors that it doesn't know."""
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
    held = min(HELD, hard - 100)
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "small.txt"), "wb") as file:
            file.write(b"x" * 1024)
        command = [options.miod, "serve", root, "-b", "127.0.0.1", "-p", "0", "-q", "--idle-timeout", "600"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            port = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline()).group(1)
            address = ("127.0.0.1", int(port))
            figures = {"binary, bytes": os.path.getsize(options.miod)}
            idle, anonymous = memory(process.pid)
            figures["memory when idle, KiB"] = idle
            figures["anonymous when idle, KiB"] = anonymous
            connections = []
            # What the first connections cost is the caches' and the allocator's.
            for index in range(held):
                if index == 100:
                    before = memory(process.pid)[0]
                sock = socket.create_connection(address, 10)
                ask(sock)
                connections.append(sock)
            figures["an idle connection, bytes"] = (memory(process.pid)[0] - before) * 1024 // (held - 100)
            for sock in connections:
                ask(sock, 16)
            for sock in connections:
                sock.close()
            # The server has seen the ends when it answers one that came after.
            with socket.create_connection(address, 10) as sock:
                ask(sock)
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
