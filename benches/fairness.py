#!/usr/bin/env python3
"""How long a small request takes while others download large files.

    python3 benches/fairness.py [--miod PATH] [--seconds N] [--downloads N] [--cold]

Sixty-four connections (--downloads) download files of 10 MiB with wrk while one connection
requests 1 KiB repeatedly. Its latencies are printed for miod and, if it is installed, nginx.
With --cold no downloaded file is in the page cache (needs root, because the cache is
dropped): this shows how reads from the disk delay other requests. The server runs on CPU 0,
the clients on CPU 1.
"""
import argparse, os, re, shutil, socket, statistics, subprocess, sys, tempfile, time

NGINX = """daemon off; worker_processes 1; pid {work}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type text/plain;
  client_body_temp_path {work}/1; proxy_temp_path {work}/2; fastcgi_temp_path {work}/3;
  uwsgi_temp_path {work}/4; scgi_temp_path {work}/5;
  server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pin(cpu):
    """Prepares a new process: it runs on this CPU with normal priority."""
    def prepare():
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, {cpu % os.cpu_count()})
    return prepare


def commands(options, root, work):
    """The installed servers: name, port, command."""
    port = free_port()
    yield "miod", port, [options.miod, "serve", root, "-b", "127.0.0.1", "-p", str(port), "-q"]
    if shutil.which("nginx"):
        port = free_port()
        conf = os.path.join(work, "nginx.conf")
        with open(conf, "w") as file:
            file.write(NGINX.format(work=work, root=root, port=port))
        yield "nginx", port, ["nginx", "-c", conf]


def exchange(sock):
    """Sends a small request. Returns its time in seconds."""
    begin = time.perf_counter()
    sock.sendall(b"GET /small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
    seen = b""
    while not seen.endswith(b"x" * 1024):
        data = sock.recv(65536)
        if not data:
            sys.exit("error: the server closed")
        seen += data
    return time.perf_counter() - begin


def measure(port, options, root):
    deadline = time.monotonic() + 10
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), 10)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                sys.exit("error: the server doesn't listen")
    for _ in range(100):
        exchange(sock)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write('n = 0\nrequest = function() n = n + 1\n'
                     'return wrk.format("GET", "/large" .. (n %% %d) .. ".bin") end\n' % options.files)
        script.flush()
        if options.cold:
            os.sync()
            with open("/proc/sys/vm/drop_caches", "w") as file:
                file.write("1")
        load = subprocess.Popen(["wrk", "-t1", f"-c{options.downloads}", f"-d{options.seconds}s", "-s", script.name,
                                 f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True, preexec_fn=pin(1))
        times = []
        begin = time.monotonic()
        while load.poll() is None:
            if time.monotonic() - begin > 0.2:
                times.append(exchange(sock))
            else:
                exchange(sock)
        rate = re.search(r"Transfer/sec:\s+(\S+)", load.stdout.read()).group(1)
    sock.close()
    return sorted(times), rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--miod", default="target/release/miod")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--downloads", type=int, default=64)
    parser.add_argument("--cold", action="store_true", help="files that aren't in the page cache (as root)")
    options = parser.parse_args()
    options.files = 200 if options.cold else 1
    os.sched_setaffinity(0, {1 % os.cpu_count()})
    try:
        # Otherwise the result would include the time that wrk keeps the processor.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        print("note: without permission for real-time priority the clients delay each other", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as root, tempfile.TemporaryDirectory() as work:
        os.chmod(root, 0o755)
        with open(os.path.join(root, "small.txt"), "wb") as file:
            file.write(b"x" * 1024)
        for index in range(options.files):
            with open(os.path.join(root, f"large{index}.bin"), "wb") as file:
                file.write(os.urandom(10 << 20))
        print(f"{'server':8} {'p50':>9} {'p90':>9} {'p99':>9} {'longest':>9} {'requests':>9}  downloads")
        for name, port, command in commands(options, root, work):
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=pin(0))
            try:
                times, rate = measure(port, options, root)
            finally:
                server.terminate()
                server.wait(30)
            at = lambda share: f"{times[min(len(times) - 1, int(len(times) * share))] * 1000:.2f} ms"
            print(f"{name:8} {at(.5):>9} {at(.9):>9} {at(.99):>9} {at(1):>9} {len(times):>9}  {rate}/s", flush=True)


if __name__ == "__main__":
    main()
