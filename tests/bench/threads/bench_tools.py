# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of threaded programs share: servers started bare and under `weft run`, a core for the server and one for the load, tables, limits."""
import contextlib
import os
import resource
import statistics
import subprocess
import sys

SERVER_CORE, LOAD_CORE = 0, 1


def raise_descriptors(wanted):
    """As far as we may: servers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < wanted and os.geteuid() == 0 else min(wanted, hard), max(wanted, hard) if os.geteuid() == 0 else hard))


def on_core(core):
    """As preexec_fn. With a single core there is nothing to choose."""
    return lambda: os.sched_setaffinity(0, {core} if core in os.sched_getaffinity(0) else os.sched_getaffinity(0))


@contextlib.contextmanager
def server(command, prefix=()):
    """A server that prints its port first; yields (process, port)."""
    # No pages of it may be shared with whoever reads: its output is the port, then whatever it complains about on stderr.
    process = subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE, preexec_fn=on_core(SERVER_CORE))
    try:
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"{' '.join(command)} printed {line!r} instead of its port")
        yield process, int(line)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def load(program, port, process, *options, timeout=150):
    """Runs the load generator; what it printed as {name: number}."""
    command = [program, "--port", str(port), "--pid", str(process.pid), *map(str, options)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, preexec_fn=on_core(LOAD_CORE), timeout=timeout).stdout
    words = out.decode().split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2])}


def memory_kib(pid):
    """Resident memory and page tables of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        fields = dict(line.split(":", 1) for line in f)
    return tuple(int(fields[name].split()[0]) for name in ("VmRSS", "VmPTE"))


def median(rounds, name):
    return statistics.median(r[name] for r in rounds)


class limits:
    """Collects what missed its limit."""

    def __init__(self):
        self.missed = []

    def at_most(self, what, value, most):
        if value > most:
            self.missed.append(f"{what} is {value:.3g}, more than {most:g}")

    def at_least(self, what, value, least):
        if value < least:
            self.missed.append(f"{what} is {value:.3g}, less than {least:g}")

    def exit(self):
        for line in self.missed:
            print("MISSED:", line)
        sys.exit(1 if self.missed and "--only-print" not in sys.argv else 0)
