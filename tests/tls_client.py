#!/usr/bin/env python3
"""Requests by Python's ssl module, among them some that are slow, cut or rude.

    python3 tests/tls_client.py PORT CA.pem LARGE_FILE PID

The server at 127.0.0.1:PORT must serve LARGE_FILE under its name. PID is that of the
server, which the last test kills. Each test prints its name when it has passed.
"""
import hashlib, os, re, signal, socket, ssl, sys

TIMEOUT = 30
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
port, authority, large, pid = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
path = "/" + os.path.basename(large)


def check(condition, what):
    if not condition:
        sys.exit(f"error: {what}")


def context(version):
    """Trusts the authority, and speaks this version alone."""
    made = ssl.create_default_context(cafile=authority)
    made.minimum_version = made.maximum_version = version
    return made


def plain(receive_buffer=None):
    sock = socket.socket()
    sock.settimeout(TIMEOUT)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)  # before it is connected
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect(("127.0.0.1", port))
    return sock


def connect(made, session=None, receive_buffer=None):
    """A connection on which an end without close_notify is an error."""
    return made.wrap_socket(
        plain(receive_buffer), server_hostname="localhost", session=session, suppress_ragged_eofs=False
    )


def request(target="/", lines=""):
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


def head(stream):
    """The status and the length of the content of the next response."""
    status, length = int(stream.readline().split()[1]), 0
    while (line := stream.readline()) != b"\r\n":
        check(line, "the head is cut")
        name, value = line.split(b":", 1)
        if name.lower() == b"content-length":
            length = int(value)
    return status, length


def response(stream):
    status, length = head(stream)
    return status, stream.read(length)


def sessions():
    """A second connection resumes the session of the first."""
    for version in VERSIONS:
        made = context(version)
        session = None
        for turn in range(3):
            with connect(made, session) as sock:
                sock.sendall(request())
                check(response(sock.makefile("rb")) == (200, b"hello"), "the response")
                check(sock.session_reused == (turn > 0), f"{version.name}: turn {turn} is resumed or not")
                session = sock.session


def byte_by_byte():
    """Each byte of the handshake and of the request comes in a segment of its own."""
    for version in VERSIONS:
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context(version).wrap_bio(received, sent, server_hostname="localhost")
        sock = plain()

        def run(call):
            while True:
                try:
                    outcome, done = call(), True
                except ssl.SSLWantReadError:
                    done = False
                for byte in sent.read():
                    sock.send(bytes([byte]))
                if done:
                    return outcome
                received.write(sock.recv(1))

        run(tls.do_handshake)
        run(lambda: tls.write(request()))
        content = b""
        while not content.endswith(b"hello"):
            content += run(lambda: tls.read(1))
        sock.close()


def orderly_ends():
    """Whoever closes first, the other one answers with close_notify."""
    for version in VERSIONS:
        sock = connect(context(version))
        sock.sendall(request(lines="Connection: close\r\n"))
        stream = sock.makefile("rb")
        check(response(stream)[0] == 200 and stream.read() == b"", "the end is announced")
        sock.unwrap().close()
        # The client ends an idle connection.
        sock = connect(context(version))
        sock.sendall(request())
        check(response(sock.makefile("rb"))[0] == 200, "the response")
        rest = sock.unwrap()
        check(rest.recv(1) == b"", "the connection is closed after close_notify")
        rest.close()


def pipelined():
    """Many requests in one piece, with ranges by which the responses are told apart."""
    content = open(large, "rb").read(1 << 20)
    ranges = [(at * 997, at * 997 + at * 31) for at in range(200)]
    for version in VERSIONS:
        with connect(context(version)) as sock:
            sock.sendall(b"".join(request(path, f"Range: bytes={first}-{last}\r\n") for first, last in ranges))
            stream = sock.makefile("rb")
            for first, last in ranges:
                check(response(stream) == (206, content[first : last + 1]), f"the range {first}-{last}")
            several, last = "0-0,16383-16384,65535-65536", "-5"
            sock.sendall(b"".join(request(path, f"Range: bytes={wanted}\r\n") for wanted in (several, last)))
            status, parts = response(stream)
            check(status == 206, "several ranges")
            for first, last in (0, 0), (16383, 16384), (65535, 65536):
                part = rb"%d-%d/\d+\r\n\r\n" % (first, last) + re.escape(content[first : last + 1]) + b"\r\n--"
                check(re.search(part, parts), f"{first}-{last}")
            status, end = response(stream)
            check(status == 206 and len(end) == 5, "the last bytes")
            sock.sendall(request(path, f"Range: bytes={os.path.getsize(large)}-\r\n"))
            check(response(stream)[0] == 416, "a range after the end")


def anonymous_memory():
    return int(re.search(r"RssAnon:\s+(\d+) kB", open(f"/proc/{pid}/status").read())[1]) << 10


def slow_reader():
    """First byte by byte with a tiny window, then quickly. The server keeps little of the content."""
    expected = hashlib.file_digest(open(large, "rb"), "sha256").hexdigest()
    for version in VERSIONS:
        before = anonymous_memory()
        with connect(context(version), receive_buffer=2048) as sock:
            sock.sendall(request(path))
            status, length = head(stream := sock.makefile("rb", buffering=0))
            check((status, length) == (200, os.path.getsize(large)), "the head")
            digest = hashlib.sha256()
            for _ in range(40_000):
                digest.update(stream.read(1))
            check(anonymous_memory() - before < 4 << 20, "the server keeps the content for a slow client")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            rest, space = length - 40_000, bytearray(1 << 20)
            while rest:
                count = stream.readinto(space)
                check(count, f"it ends {rest} bytes early")
                digest.update(memoryview(space)[:count])
                rest -= count
            check(digest.hexdigest() == expected, "the content")


def abrupt_end():
    """The server dies in a response, which must not look like its end."""
    socks = [connect(context(version)) for version in VERSIONS]
    for sock in socks:
        sock.sendall(request(path))
        check(head(sock.makefile("rb", buffering=0))[0] == 200, "the head")
    os.kill(pid, signal.SIGKILL)
    for sock in socks:
        try:
            while sock.recv(1 << 20):
                pass
        except (ssl.SSLEOFError, ConnectionResetError):
            continue
        sys.exit("error: the cut isn't noticed")


for test in (sessions, byte_by_byte, orderly_ends, pipelined, slow_reader, abrupt_end):
    test()
    print(f"{test.__name__}: passed", flush=True)
