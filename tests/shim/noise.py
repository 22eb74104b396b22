# SPDX-License-Identifier: Apache-2.0
"""How much a busy machine had to do with a measured time: what kept a thread waiting that was ready to run."""
import os
import threading
import time

PERIOD = 0.005
USUAL = 0.001  # a sleep ends so much later on an idle machine


class Metronome:
    """A thread on each processor that sleeps, and notes when it woke up late: other programs, or the host's other guests, ran meanwhile."""

    def __init__(self):
        self._late = [[] for _ in os.sched_getaffinity(0)]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._beat, args=pair, daemon=True)
                         for pair in zip(sorted(os.sched_getaffinity(0)), self._late)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _beat(self, processor, late):
        os.sched_setaffinity(0, {processor})  # of this thread alone
        while not self._ended.is_set():
            start = time.monotonic()
            time.sleep(PERIOD)
            end = time.monotonic()
            if end - start > PERIOD + USUAL:
                late.append((start, end))

    def between(self, start, end):
        """Milliseconds that a processor was late in that time: in all and at once, for the worst one."""
        total = longest = 0.0
        for late in self._late:
            delays = [(min(b, end) - max(a, start)) * 1000 for a, b in late if b > start and a < end]
            total, longest = max(total, sum(delays)), max(longest, max(delays, default=0.0))
        return total, longest


def pressure():
    """Milliseconds, until now, in which some thread of this machine was ready without running: a bound for what a chain of processes, each
    of which waits for the one before, may have lost. 0 where the kernel doesn't say."""
    try:
        with open("/proc/pressure/cpu") as file:
            return int(file.readline().rpartition("=")[2]) / 1e3
    except (OSError, ValueError):
        return 0.0


def waited(pid):
    """Milliseconds that the first thread of a process has been ready without running, until now; 0 where the kernel doesn't say."""
    try:
        with open(f"/proc/{pid}/task/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e6
    except (OSError, IndexError, ValueError):
        return 0.0
