# SPDX-License-Identifier: Apache-2.0
"""time.sleep: precise, overlapping in threads, interrupted by signals; and what else waits for the clock."""
import queue
import signal
import threading
import time


def near(seconds, wanted):
    return wanted - 0.002 <= seconds <= wanted + 0.15


for wanted in (0, 0.001, 0.02, 0.15, 1.05):
    start = time.monotonic()
    time.sleep(wanted)
    print("sleep", wanted, near(time.monotonic() - start, wanted))

start = time.monotonic()
for _ in range(400):
    time.sleep(0.0005)
print("short sleeps", time.monotonic() - start < 0.4)

start = time.monotonic()
threads = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(50)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("together", near(time.monotonic() - start, 0.2))

calls = []
signal.signal(signal.SIGALRM, lambda *_: calls.append(time.monotonic() - start))
start = time.monotonic()
signal.setitimer(signal.ITIMER_REAL, 0.1)
time.sleep(0.3)
print("signal", near(calls[0], 0.1), near(time.monotonic() - start, 0.3))


class Interrupted(Exception):
    pass


def interrupt(*_):
    raise Interrupted


signal.signal(signal.SIGALRM, interrupt)
start = time.monotonic()
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    time.sleep(5)
except Interrupted:
    print("exception from a handler", near(time.monotonic() - start, 0.1))

start = time.monotonic()
print("event", threading.Event().wait(0.1), near(time.monotonic() - start, 0.1))
try:
    queue.Queue().get(timeout=0.1)
except queue.Empty:
    print("queue")
