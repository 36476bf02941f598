#!/usr/bin/env python3
"""Counts miod's own instructions per request, under callgrind.

    python3 benches/instructions.py [--miod PATH] [--check]

The workloads and the method are those of syscalls.py, and one more workload with an
access log: the difference of two runs, which doesn't contain start and exit. The kernel's
instructions aren't counted. On machines of one kind the counts agree within a few percent,
while times vary by a third. So they show the cost of a change in the hot path.
With --check the exit status is 1 if a count is above its bound. Needs valgrind;
Linux on x86-64 only.
"""
import argparse, os, re, subprocess, sys, tempfile

import syscalls

# The maximum of instructions per request: the measured count and up to a tenth more. A higher
# bound needs a reason. A request takes about 200 more than the former 1,685, because each is
# resolved once into an exchange, and turns and passes count their work. The CPU time per
# pipelined request did not change measurably. A hundred inline hints saved another 40 of
# 2,000, which was not worth their lines.
# What protects a connection is looked up in each turn: 90 more.
# A request is for one of several hosts, and its route has rules: 140 more.
# Requests, passes and bytes are counted, half of that for a second look at the clock: 70 more.
# Each connection may be sent no more than so many bytes per second: 25 more.
# What is received at once depends on the memory that is left, and there may be a tap: 70 more.
# Pieces are sent from where they are: 200 more. A file has forms in several codings, and may be one
# of several in different languages and types: 80 more.
BOUNDS = {
    # 2,016 before a request knew when its first byte came, and before connections stayed open
    # for a short time during a shutdown; 2,085 since.
    "kept alive, 1 KiB": 2850,
    "pipelined by 16, 1 KiB": 1930,
    "a connection each, 1 KiB": 3860,
    "range of 1 KiB in 10 MiB": 4130,
    # 2,849 before -v could say why a request is refused; 2,965 since.
    "404": 4060,
    "304": 3230,
    # The field costs nothing: it is parsed with the header section, once.
    "accepting codings, 1 KiB": 2870,
    # As an uncompressed file of that size.
    "compressed to 1 KiB": 2980,
    "kept alive, access log": 3960,
}

# The workloads with an access log.
LOGGED = {"kept alive, access log": "kept alive, 1 KiB"}


def workload(name):
    """The requests, the number of responses, and whether each has its own connection."""
    return syscalls.WORKLOADS[LOGGED.get(name, name)]


def serve(miod, root, work, options=()):
    """Starts miod under callgrind. Returns the process, its address, and the file of the counts."""
    counts = os.path.join(work, "counts")
    valgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={counts}"]
    command = [*valgrind, miod, "serve", root, "-b", "127.0.0.1", "-p", "0", "-q", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    port = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline()).group(1)
    return process, ("127.0.0.1", int(port)), counts


def measure(miod, root, name, rounds):
    """The number of instructions in one run."""
    batch, responses, close = workload(name)
    with tempfile.TemporaryDirectory() as work:
        options = ["--access-log", os.path.join(work, "access.log")] if name in LOGGED else []
        process, address, counts = serve(miod, root, work, options)
        try:
            syscalls.Load(address, process.pid, batch, responses, close).run(rounds)
        finally:
            process.terminate()
            process.wait(60)
        with open(counts) as file:
            return int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--miod", default="target/release/miod")
    parser.add_argument("--check", action="store_true", help="fail above a bound")
    options = parser.parse_args()
    high = []
    with tempfile.TemporaryDirectory() as root:
        syscalls.make_files(root)
        print(f"{'workload':26} {'instructions':>12} {'bound':>6}")
        for name, bound in BOUNDS.items():
            few, many = 10, 30
            before, after = (measure(options.miod, root, name, rounds) for rounds in (few, many))
            count = (after - before) / (syscalls.CONNECTIONS * (many - few) * workload(name)[1])
            print(f"{name:26} {count:12.0f} {bound:6}", flush=True)
            if count > bound:
                high.append(name)
    if options.check and high:
        sys.exit("error: too many instructions: " + ", ".join(high))


if __name__ == "__main__":
    main()
