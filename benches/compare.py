#!/usr/bin/env python3
"""Measure miod beside nginx and lighttpd with wrk.

    cargo build --release
    python3 benches/compare.py

Every installed server serves the same generated files on a loopback port. With two
or more CPUs the servers run on one and wrk on another. The servers are measured in
turns, and the table shows medians over the rounds, so that other load on the machine
does not affect only one of them. Before a workload is measured, the response of each
server to it is checked.

nginx and lighttpd have no access log and no limit (or the highest) on the requests
of a connection, and nginx uses sendfile. All other settings are their defaults.
(With tcp_nopush, the default of Debian, nginx would wait about 40 ms for an
acknowledgement within each batch of pipelined requests.)

CPU time is the user and system time of the server's processes, divided by the number
of responses that wrk counted. Where wrk is the bottleneck, it is more precise than
req/s.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOST = "127.0.0.1"
TICK = os.sysconf("SC_CLK_TCK")
PIPELINE = 16
FILES = 10_000
RANGE = (5_000_000, 5_001_023)


class Trouble(Exception):
    """A reason why a server can't be measured."""


# --- Files --------------------------------------------------------------------


def many_path(number):
    return f"/many/{number // 100:02}/{number:05}.txt"


def make_docroot(root):
    """Creates files of known content, the same in every run."""
    rng = random.Random(1)
    root.mkdir()
    (root / "1k.html").write_bytes(b"<p>miod</p>\n" * 85 + b"miod")
    (root / "100k.bin").write_bytes(rng.randbytes(100 * 1024))
    (root / "10m.bin").write_bytes(rng.randbytes(10 * 1024 * 1024))
    for number in range(FILES):
        file = root / many_path(number)[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"{number:05}\n".encode() * 64)


# --- The servers --------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def nginx_command(binary, docroot, work, port):
    conf = work / "nginx.conf"
    temporary = "".join(
        f"  {kind}_temp_path {work}/nginx-{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf.write_text(
        ("user root;\n" if os.geteuid() == 0 else "")
        + f"daemon off;\nworker_processes 1;\npid {work}/nginx.pid;\n"
        f"error_log {work}/nginx.err crit;\n"
        "events { worker_connections 4096; }\n"
        "http {\n"
        + temporary
        + "  access_log off;\n  sendfile on;\n"
        "  keepalive_timeout 75s;\n  keepalive_requests 1000000000;\n"
        "  types { text/html html; text/plain txt; }\n"
        "  default_type application/octet-stream;\n"
        f"  server {{ listen {HOST}:{port} backlog=4096; root {docroot}; }}\n"
        "}\n"
    )
    return [binary, "-e", str(work / "nginx.err"), "-p", str(work), "-c", str(conf)]


def lighttpd_command(binary, docroot, work, port):
    conf = work / "lighttpd.conf"
    conf.write_text(
        f'server.document-root = "{docroot}"\n'
        f'server.bind = "{HOST}"\nserver.port = {port}\n'
        f'server.errorlog = "{work}/lighttpd.err"\n'
        "server.max-keep-alive-requests = 65535\n"
        "server.max-fds = 32768\nserver.listen-backlog = 4096\n"
        'mimetype.assign = ( ".html" => "text/html", ".txt" => "text/plain",\n'
        '  "" => "application/octet-stream" )\n'
    )
    return [binary, "-D", "-f", str(conf)]


def miod_command(binary, docroot, _work, port):
    return [binary, "serve", str(docroot), "-b", HOST, "-p", str(port), "-q"]


class Server:
    def __init__(self, name, binary, command, cpu):
        self.name, self.binary, self.command, self.cpu = name, binary, command, cpu
        self.process = self.port = None

    def start(self, docroot, work):
        for _ in range(3):  # the port may be taken before the server binds it
            self.port = free_port()
            with open(work / f"{self.name}.out", "wb") as out:
                self.process = subprocess.Popen(
                    self.command(self.binary, docroot, work, self.port),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    preexec_fn=pin(self.cpu),
                )
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and self.process.poll() is None:
                with contextlib.suppress(OSError):
                    socket.create_connection((HOST, self.port), 1).close()
                    return
                time.sleep(0.05)
            self.stop()
        text = (work / f"{self.name}.out").read_text(errors="replace").strip()
        raise Trouble(f"did not start: {text or 'no message'}")

    def stop(self):
        """Ends the server and its workers, each by its process id."""
        if self.process is None:
            return
        family = tree(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(5)
        self.process = None

    def cpu_seconds(self):
        if self.process.poll() is not None:
            raise Trouble(f"has ended with status {self.process.returncode}")
        return sum(filter(None, (cpu_ticks(pid) for pid in tree(self.process.pid)))) / TICK

    def version(self):
        flag = {"miod": "--version"}.get(self.name, "-v")
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run([self.binary, flag], capture_output=True, text=True, timeout=10)
            lines = (done.stdout + done.stderr).strip().splitlines()
            if lines:
                return lines[0]
        return self.name


def pin(cpu):
    return None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})


def stat_fields(pid):
    """The fields of /proc/PID/stat after the name, which may contain any character."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None


def cpu_ticks(pid):
    fields = stat_fields(pid)
    return int(fields[11]) + int(fields[12]) if fields else None


def tree(root):
    """The process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = stat_fields(entry)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


# --- The workloads ------------------------------------------------------------


class Workload:
    """Requests of one kind."""

    def __init__(self, name, text, path, status=200, headers=None, lua=""):
        self.name, self.text, self.path = name, text, path
        self.status, self.headers, self.lua = status, headers or {}, lua

    def fields(self, server):
        if self.status == 304:
            _, fields, _ = request(server, self.path, {})
            if not fields.get("ETag"):
                raise Trouble("sends no ETag")
            return {**self.headers, "If-None-Match": fields["ETag"]}
        return self.headers

    def check(self, server, docroot):
        """Sends one request as wrk does, and checks the response."""
        file = docroot / self.path[1:]
        content = file.read_bytes() if file.exists() else b""
        status, fields, got = request(server, self.path, self.fields(server))
        if status != self.status:
            raise Trouble(f"responds with {status}, not {self.status}")
        if status == 206:
            first, last = RANGE
            received = fields.get("Content-Range")
            if received != f"bytes {first}-{last}/{len(content)}":
                raise Trouble(f"sends Content-Range: {received}")
            content = content[first : last + 1]
        elif status == 304:
            content = b""
        if status != 404 and got != content:
            raise Trouble(f"sends other bytes than the file has ({len(got)} of {len(content)})")
        closes = "close" in (fields.get("Connection") or "").lower()
        if closes != ("Connection" in self.headers):
            raise Trouble("closes the connection" if closes else "keeps the connection")
        if self.name == "pipelined":
            self.check_pipelined(server, content)
        if self.name == "many":
            for number in (0, 1, FILES // 2, FILES - 1):
                path = many_path(number)
                if request(server, path, {})[2] != (docroot / path[1:]).read_bytes():
                    raise Trouble(f"sends other bytes than {path} has")

    def check_pipelined(self, server, content):
        one = f"GET {self.path} HTTP/1.1\r\nHost: {HOST}\r\n"
        requests = (one + "\r\n") * (PIPELINE - 1) + one + "Connection: close\r\n\r\n"
        with socket.create_connection((HOST, server.port), 5) as peer:
            peer.sendall(requests.encode())
            got = b""
            while part := peer.recv(65536):
                got += part
        if got.count(b"HTTP/1.1 200 ") != PIPELINE or got.count(content) != PIPELINE:
            raise Trouble(f"responds to {got.count(b'HTTP/1.1 200 ')} of {PIPELINE} pipelined requests")

    def script(self, server):
        lines = [f"wrk.path = {json.dumps(self.path)}"]
        for name, value in self.fields(server).items():
            lines.append(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}")
        return "\n".join(lines) + "\n" + self.lua + LUA_DONE


LUA_DONE = """
local function at(latency, percent)
  -- wrk's correction of the latencies can remove every result.
  local value = latency:percentile(percent)
  return value > 0 and value or latency.max
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d %d\\n",
    summary.requests, summary.duration, at(latency, 50), at(latency, 99),
    e.connect, e.read, e.write, e.timeout, e.status))
end
"""

LUA_PIPELINED = f"""
local all
function init(args)
  local one = wrk.format()
  all = string.rep(one, {PIPELINE})
end
function request() return all end
"""

LUA_MANY = f"""
local all, last = {{}}, 0
function init(args)
  math.randomseed(1)
  for i = 0, {FILES} - 1 do
    all[i + 1] = wrk.format("GET", string.format("/many/%02d/%05d.txt", math.floor(i / 100), i))
  end
  for i = {FILES}, 2, -1 do
    local j = math.random(i)
    all[i], all[j] = all[j], all[i]
  end
end
function request()
  last = last % {FILES} + 1
  return all[last]
end
"""

WORKLOADS = [
    Workload("small", "1 KiB, kept alive", "/1k.html"),
    Workload("pipelined", f"1 KiB, {PIPELINE} requests at once", "/1k.html", lua=LUA_PIPELINED),
    Workload("large", "100 KiB, kept alive", "/100k.bin"),
    Workload("close", "1 KiB, a connection for each", "/1k.html", headers={"Connection": "close"}),
    Workload(
        "range",
        "1 KiB out of 10 MiB",
        "/10m.bin",
        status=206,
        headers={"Range": "bytes={}-{}".format(*RANGE)},
    ),
    Workload("missing", "404", "/no/such/file", status=404),
    Workload("unchanged", "304 by ETag", "/1k.html", status=304),
    Workload("many", f"{FILES:,} files of 384 bytes", many_path(0), lua=LUA_MANY),
]


def request(server, path, headers):
    peer = http.client.HTTPConnection(HOST, server.port, timeout=10)
    try:
        peer.request("GET", path, headers=headers)
        response = peer.getresponse()
        return response.status, response.headers, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Trouble(f"does not respond: {error!r}") from error
    finally:
        peer.close()


# --- Measuring ----------------------------------------------------------------


class Sample:
    def __init__(self, numbers, cpu, expects_errors):
        requests, micros, p50, p99, *errors, status = numbers
        if not requests:
            raise Trouble("wrk counted no responses")
        self.rate = requests / (micros / 1e6)
        self.cpu = cpu * 1e6 / requests
        self.p50, self.p99 = p50, p99
        self.errors = dict(zip(("connect", "read", "write", "timeout"), errors))
        self.errors["status"] = abs(requests - status) if expects_errors else status


def measure(wrk, cpu, server, workload, work, seconds, connections):
    script = work / "workload.lua"
    script.write_text(workload.script(server))
    before = server.cpu_seconds()
    try:
        done = subprocess.run(
            [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s",
             "-s", str(script), f"http://{HOST}:{server.port}{workload.path}"],
            capture_output=True, text=True, timeout=seconds + 30, preexec_fn=pin(cpu),
        )
    except subprocess.TimeoutExpired as error:
        raise Trouble("wrk did not end") from error
    used = server.cpu_seconds() - before
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return Sample([int(x) for x in line.split()[1:]], used, workload.status >= 400)
    raise Trouble(f"wrk failed: {(done.stderr or done.stdout).strip()}")


def time_text(micros):
    return f"{micros / 1000:.2f} ms" if micros >= 1000 else f"{micros:.0f} µs"


def show(workload, results, troubles):
    print(f"\n{workload.name}: {workload.text}")
    print(f"  {'server':<10}{'req/s':>10}{'spread':>9}{'CPU/req':>11}{'p50':>11}{'p99':>11}  errors")
    for name, samples in results.items():
        if samples:
            def middle(key):
                return statistics.median(getattr(s, key) for s in samples)

            # wrk corrects latencies by the time of one response, which is wrong for
            # batches.
            p50, p99 = ("-", "-") if workload.lua == LUA_PIPELINED else (
                time_text(middle("p50")), time_text(middle("p99")))
            rates = [s.rate for s in samples]
            spread = 100 * (max(rates) - min(rates)) / middle("rate")
            total = {}
            for sample in samples:
                for kind, count in sample.errors.items():
                    total[kind] = total.get(kind, 0) + count
            errors = ", ".join(f"{count} {kind}" for kind, count in total.items() if count)
            print(
                f"  {name:<10}{middle('rate'):>10,.0f}{spread:>8.1f}%"
                f"{middle('cpu'):>8.2f} µs{p50:>11}{p99:>11}  {errors or 'none'}"
            )
        if (workload.name, name) in troubles:
            print(f"  {name:<10}{troubles[workload.name, name]}")
    sys.stdout.flush()


def cpu_model():
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def options():
    names = [w.name for w in WORKLOADS]
    parser = argparse.ArgumentParser(
        description="Measure miod beside nginx and lighttpd with wrk.",
        epilog="workloads: " + "; ".join(f"{w.name} ({w.text})" for w in WORKLOADS),
    )
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parser.add_argument("--miod", default=f"{target}/release/miod", metavar="PATH",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, metavar="N",
                        help="length of one measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N",
                        help="measurements of each kind (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=32, metavar="N",
                        help="connections that wrk keeps open (default: %(default)s)")
    parser.add_argument("--workloads", default=",".join(names), metavar="NAME,...",
                        help="the workloads to run (default: all)")
    chosen = parser.parse_args()
    chosen.workloads = [name.strip() for name in chosen.workloads.split(",") if name.strip()]
    for name in chosen.workloads:
        if name not in names:
            parser.error(f"no workload {name!r}; there are {', '.join(names)}")
    if min(chosen.seconds, chosen.rounds, chosen.connections) < 1:
        parser.error("--seconds, --rounds and --connections must be at least 1")
    return chosen


def find(name):
    """Finds a program, also outside the PATH of ordinary users."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def main():
    args = options()
    wrk = find("wrk")
    if not wrk:
        sys.exit("wrk is not installed")
    cpus = sorted(os.sched_getaffinity(0))
    server_cpu, wrk_cpu = cpus[:2] if len(cpus) > 1 else (None, None)

    troubles = {}
    miod = Path(args.miod)
    if not miod.is_file():
        print(f"miod is skipped: there is no {miod} (cargo build --release)", file=sys.stderr)
        troubles["start", "miod"] = "is not built"
    servers = [
        Server(name, str(binary), command, server_cpu)
        for name, binary, command in (
            ("miod", miod.resolve() if miod.is_file() else None, miod_command),
            ("nginx", find("nginx"), nginx_command),
            ("lighttpd", find("lighttpd"), lighttpd_command),
        )
        if binary
    ]
    if not servers:
        sys.exit("no server to measure")

    workloads = [w for w in WORKLOADS if w.name in args.workloads]
    with tempfile.TemporaryDirectory(prefix="compare-") as temporary:
        work = Path(temporary)
        work.chmod(0o755)
        docroot = work / "docroot"
        make_docroot(docroot)
        try:
            for server in list(servers):
                try:
                    server.start(docroot, work)
                except Trouble as trouble:
                    print(f"{server.name} is skipped: it {trouble}", file=sys.stderr)
                    troubles["start", server.name] = str(trouble)
                    servers.remove(server)
            print(f"{cpu_model()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}")
            for server in servers:
                print(f"{server.name}: {server.version()}")
            place = "not pinned" if server_cpu is None else f"servers on CPU {server_cpu}, wrk on CPU {wrk_cpu}"
            print(f"{args.connections} connections, {args.rounds} rounds of {args.seconds} s, {place}")

            results = {w.name: {s.name: [] for s in servers} for w in workloads}
            for workload in workloads:
                for server in servers:
                    try:
                        workload.check(server, docroot)
                    except (Trouble, OSError) as trouble:
                        troubles[workload.name, server.name] = str(trouble)
            for number in range(args.rounds):
                for workload in workloads:
                    # In each round another server is first.
                    turn = number % len(servers) if servers else 0
                    for server in servers[turn:] + servers[:turn]:
                        if (workload.name, server.name) in troubles:
                            continue
                        if sys.stderr.isatty():
                            print(f"\rround {number + 1}: {workload.name}, {server.name}   ",
                                  end="", file=sys.stderr, flush=True)
                        try:
                            sample = measure(wrk, wrk_cpu, server, workload, work,
                                             args.seconds, args.connections)
                            results[workload.name][server.name].append(sample)
                        except Trouble as trouble:
                            troubles[workload.name, server.name] = str(trouble)
            if sys.stderr.isatty():
                print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
            for workload in workloads:
                show(workload, results[workload.name], troubles)
        finally:
            for server in servers:
                server.stop()
    print("\nMedians of the rounds. Spread: highest minus lowest req/s, as a share of the median."
          "\nCPU/req: user and system time of the server's processes for one response.")
    return 1 if troubles else 0


if __name__ == "__main__":
    # SIGTERM also ends the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
