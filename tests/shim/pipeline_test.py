#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What shares a pipe or a terminal with a program under weft never sees O_NONBLOCK on it, and every byte goes through.

    pipeline_test.py --weft W --ticker K

The watcher holds descriptors of its own for what the program reads and writes, and looks at their flags all the while.
"""
import argparse
import fcntl
import hashlib
import os
import pty
import subprocess
import sys
import threading
import time
import tty

DATA = b"".join(b"%07d\n" % i for i in range(40_000))
LIMIT = 30
args = None


class Watcher:
    """Looks at the flags of descriptors until told to stop."""

    def __init__(self, *fds):
        self.fds, self.looks, self.seen, self.stop = fds, 0, 0, False
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.stop:
            for fd in self.fds:
                self.seen += bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)
            self.looks += 1
            if self.looks % 64 == 0:
                time.sleep(0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()

    def judge(self, what):
        if self.seen:
            sys.exit(f"FAIL: {what}: seen non-blocking {self.seen} times in {self.looks} looks")
        if self.looks < 100:
            sys.exit(f"FAIL: {what}: {self.looks} looks are too few")
        print(f"{what}: {self.looks} looks")


def environment(mode):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
    return {**clean, **{"served": {"WEFT_ALWAYS_SERVE": "1"}, "ticking": {"LD_PRELOAD": args.ticker}}[mode]}


def feed(fd):
    """In pieces with pauses, so that the reader has to wait."""
    for i in range(0, len(DATA), 32_000):
        os.write(fd, DATA[i:i + 32_000])
        time.sleep(0.01)
    os.close(fd)


def collect(fd, size):
    """As slowly, so that the writer has to wait."""
    got = b""
    while len(got) < size and (piece := os.read(fd, 20_000)):
        got += piece
        time.sleep(0.005)
    return got


def pipeline(mode, *command):
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    program = subprocess.Popen([args.weft, "run", *command], stdin=in_read, stdout=out_write, env=environment(mode))
    feeder = threading.Thread(target=feed, args=(in_write,))
    with Watcher(in_read, out_write, out_read) as watcher:
        feeder.start()
        got = collect(out_read, len(DATA))
        status = program.wait(LIMIT)
    feeder.join()
    for fd in (in_read, out_read, out_write):
        os.close(fd)
    what = f"{' '.join(command)} ({mode})"
    if status != 0 or hashlib.sha256(got).digest() != hashlib.sha256(DATA).digest():
        sys.exit(f"FAIL: {what}: exit status {status}, {len(got)} of {len(DATA)} bytes or other ones")
    watcher.judge(what)


def terminal(mode, *command):
    """A terminal that a shell and its program share: what the program does to it, the shell would find."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    program = subprocess.Popen([args.weft, "run", *command], stdin=slave, stdout=slave, env=environment(mode))
    lines = [b"%03d\n" % i for i in range(40)]
    with Watcher(slave, master) as watcher:
        for line in lines:
            os.write(master, line)
            got = b""
            while len(got) < len(line):
                got += os.read(master, 100)
            if got != line:
                sys.exit(f"FAIL: {command}: {got!r} for {line!r}")
            time.sleep(0.005)
        program.kill()
        program.wait(LIMIT)
    os.close(slave)
    os.close(master)
    watcher.judge(f"terminal: {' '.join(command)} ({mode})")


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument("--weft", required=True)
    parser.add_argument("--ticker", required=True)
    args = parser.parse_args()
    for mode in ("served", "ticking"):
        pipeline(mode, "cat")
        pipeline(mode, "sed", "-u", "")
        pipeline(mode, "sh", "-c", "cat | cat")
        terminal(mode, "cat")


if __name__ == "__main__":
    main()
