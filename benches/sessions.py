#!/usr/bin/env python3
"""Measure what a session costs, with wrk.

    cargo build --release
    python3 benches/sessions.py

Prints the CPU time of miod for a small file, for a page that reads the session (/home),
and for one that reads and saves it (/counter), with each store. The servers are measured
in turns. Each has its own clients, which also take turns. The table shows medians over the
rounds. With a store in another process, only the time of miod counts, including its helper
threads.

With --check the exit status is 1 if reading a session costs too much: from memory,
compared with a small file; from Redis, compared with memory. Times vary on a shared
machine, so only times of one run are compared.
"""

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare import HOST, LUA_DONE, Trouble, cpu_model, find, free_port, pin

# A change of a bound needs a reason beside it.
BEYOND_A_FILE = 2.0  # µs that reading a session from memory may cost more than a file
TIMES_MEMORY = 3.0  # reading one from Redis may cost this many times as much

CONNECTIONS = 32
CLIENTS = 32
JSON = {"Accept": "application/json"}


def cpu_seconds(pid):
    """CPU time of all threads, from the scheduler's nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def responds(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        request(port, "GET", "/")
        return True
    return False


def request(port, method, path, headers=None, body=None):
    peer = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        peer.request(method, path, body, {**JSON, **(headers or {})})
        response = peer.getresponse()
        response.read()
        return response
    finally:
        peer.close()


class Running:
    """A process that listens on a port."""

    def __init__(self, command, port, cpu, ready=responds):
        self.port = port
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=pin(cpu),
        )
        deadline = time.monotonic() + 10
        while not ready(port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Trouble(f"{command[0]} doesn't respond")
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def listens(port):
    with contextlib.suppress(OSError):
        socket.create_connection((HOST, port), 1).close()
        return True
    return False


def log_in(port):
    """Logs in a new client. Returns its cookie."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = request(port, "POST", "/login", form, "username=alice&password=apple")
    if response.status not in (200, 303):
        raise Trouble(f"responds to a login with {response.status}")
    return response.headers["Set-Cookie"].partition(";")[0]


def script(path, cookies):
    """A script that sends each request with the next cookie, or all without one."""
    fields = [{**JSON, "Cookie": cookie} for cookie in cookies] or [{}]
    made = "".join(
        "all[{}] = wrk.format('GET', {}, {{{}}})\n".format(
            number, json.dumps(path), ", ".join(f"[{json.dumps(n)}]={json.dumps(v)}" for n, v in each.items())
        )
        for number, each in enumerate(fields, 1)
    )
    return (
        "local all, last = {}, 0\n"
        f"function init(args)\n{made}end\n"
        f"function request() last = last % {len(fields)} + 1; return all[last] end\n" + LUA_DONE
    )


def measure(wrk, cpu, server, path, cookies, work, seconds):
    file = work / "visits.lua"
    file.write_text(script(path, cookies))
    before = cpu_seconds(server.process.pid)
    done = subprocess.run(
        [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(file), f"http://{HOST}:{server.port}/"],
        capture_output=True, text=True, timeout=seconds + 30, preexec_fn=pin(cpu),
    )
    used = cpu_seconds(server.process.pid) - before
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            requests, _, _, _, *errors = map(int, line.split()[1:])
            if not requests or any(errors):
                raise Trouble(f"responds to {path} with errors: {line}")
            return used * 1e6 / requests
    raise Trouble(f"wrk failed: {(done.stderr or done.stdout).strip()}")


def main():
    parser = argparse.ArgumentParser(description="Measure what a session costs, with wrk.")
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parser.add_argument("--miod", default=f"{target}/release/miod", help="the binary (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=1, help="of one measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="fail above a bound")
    options = parser.parse_args()
    wrk, redis = find("wrk"), find("redis-server")
    if not wrk or not Path(options.miod).is_file():
        sys.exit("wrk and a release build of miod are needed")
    cpus = sorted(os.sched_getaffinity(0))
    miod_cpu, other_cpu = cpus[:2] if len(cpus) > 1 else (None, None)
    miod = Path(options.miod).resolve()

    with tempfile.TemporaryDirectory(prefix="sessions-") as temporary, contextlib.ExitStack() as running:
        work = Path(temporary)
        (work / "root").mkdir()
        (work / "root/small.txt").write_bytes(b"x" * 24)

        def run(command, port, cpu, ready=responds):
            started = Running(command, port, cpu, ready)
            running.callback(started.stop)
            return started

        stores = {"memory": "memory", "cookie": "cookie", "file": f"file:{work}/store"}
        port = free_port()
        run([miod, "kv", "-b", HOST, "-p", port, "-q"], port, other_cpu)
        stores["http"] = f"http://{HOST}:{port}/"
        if redis:
            port = free_port()
            run([redis, "--bind", HOST, "--port", port, "--save", "", "--dir", work], port, other_cpu, listens)
            stores["redis"] = f"redis://{HOST}:{port}/0"
        else:
            print("redis is skipped: redis-server is not installed", file=sys.stderr)

        servers, cookies = {}, {}
        for name, store in stores.items():
            port = free_port()
            command = [miod, "serve", work / "root", "--demo", "-b", HOST, "-p", port, "-q",
                       "--sessions", store, "--session-key", work / "key"]
            servers[name] = run(command, port, miod_cpu)
            cookies[name] = [log_in(port) for _ in range(CLIENTS)]

        paths = {"read": "/home", "read and saved": "/counter"}
        kinds = [("memory", "a small file", "/small.txt", [])]
        kinds += [(name, kind, path, cookies[name]) for kind, path in paths.items() for name in servers]
        found = {(kind, name): [] for name, kind, _, _ in kinds}
        for _ in range(options.rounds):
            for name, kind, path, clients in kinds:
                found[kind, name].append(measure(wrk, other_cpu, servers[name], path, clients, work, options.seconds))

    middle = {key: statistics.median(values) for key, values in found.items()}
    print(f"{cpu_model()}, {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s")
    print("CPU time of miod per request, µs")
    for (kind, name), value in middle.items():
        spread = max(found[kind, name]) - min(found[kind, name])
        print(f"  {kind:<16}{name if kind in paths else '':<8}{value:>8.2f}  ± {spread / 2:.2f}")
    beyond = middle["read", "memory"] - middle["a small file", "memory"]
    verdicts = [(f"reading a session in memory costs {beyond:.2f} µs more than a file, bound {BEYOND_A_FILE}",
                 beyond <= BEYOND_A_FILE)]
    if redis:
        times = middle["read", "redis"] / middle["read", "memory"]
        verdicts.append((f"in Redis it costs {times:.2f} times what it costs in memory, bound {TIMES_MEMORY}",
                         times <= TIMES_MEMORY))
    for text, fits in verdicts:
        print(text + ("" if fits else ": TOO MUCH"))
    return 1 if options.check and not all(fits for _, fits in verdicts) else 0


if __name__ == "__main__":
    # SIGTERM also ends the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"error: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)
