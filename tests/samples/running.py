# SPDX-License-Identifier: Apache-2.0
"""A sample program that runs, and what it has of the system."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import time


def program(name):
    return os.environ[name.upper().replace("-", "_")]


def run(name, *words, limit=120, **options):
    """A program to its end: its output."""
    done = subprocess.run([program(name), *map(str, words)], capture_output=True, text=True, timeout=limit, stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    if done.returncode != 0:
        raise AssertionError(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class Server:
    """A server of the samples, from the line that says its address to the end of the block."""

    def __init__(self, name, *words, address="127.0.0.1:0", under=()):
        self.child = subprocess.Popen([*under, program(name), address, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.address = self.child.stdout.readline().strip()
        if not self.address:
            raise AssertionError(f"{name} did not start: {self.child.communicate()}")
        self.port = int(self.address.rsplit(":", 1)[1]) if address.startswith("127") else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.communicate()

    def connect(self, seconds=20):
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def resident_kib(self):
        text = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))

    def fibers(self):
        """How many there are on all hubs of the process."""
        self.child.send_signal(signal.SIGUSR1)
        count = 0
        while (line := self.child.stdout.readline().strip()):
            if (hub := re.match(r"hub of kernel thread .*: (\d+) fibers?,", line)):
                count += int(hub[1])
        if count == 0:
            raise AssertionError("the server tells nothing of its fibers")
        return count

    def stop(self, number=signal.SIGTERM, limit=60):
        """(exit status, what else it printed, errors)"""
        self.child.send_signal(number)
        out, errors = self.child.communicate(timeout=limit)
        return self.child.returncode, out, errors


@contextlib.contextmanager
def leaves_nothing(server, slack=0, growth_kib=None):
    """The server has as many descriptors and fibers after the block as before, and hardly more memory."""
    fibers = server.fibers()
    before, memory = server.descriptors(), server.resident_kib()
    yield
    wait_until(lambda: server.fibers() <= fibers, 30, f"{server.fibers()} fibers, {fibers} before")
    wait_until(lambda: server.descriptors() <= before + slack, 30, f"{server.descriptors()} descriptors, {before} before")
    if growth_kib is not None and server.resident_kib() > memory + growth_kib:
        raise AssertionError(f"resident: {memory} KiB before, {server.resident_kib()} KiB after")
