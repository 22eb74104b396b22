# SPDX-License-Identifier: Apache-2.0
"""time.sleep: precise, overlapping in threads, interrupted by signals; and what else waits for the clock."""
import queue
import signal
import threading
import time


def near(seconds, wanted):
    return wanted - 0.002 <= seconds <= wanted + 0.15


def on_time(wanted, action):
    """Whether it takes that long: never less, and not much more in the best of a few runs on a busy machine."""
    for _ in range(5):
        start = time.monotonic()
        action()
        seconds = time.monotonic() - start
        if seconds < wanted - 0.002:
            return False
        if near(seconds, wanted):
            return True
    return False


for wanted in (0, 0.001, 0.02, 0.15, 1.05):
    print("sleep", wanted, on_time(wanted, lambda: time.sleep(wanted)))


def short_sleeps():
    for _ in range(400):
        time.sleep(0.0005)


def sleep_together():
    threads = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


print("short sleeps", on_time(0.2, short_sleeps))
print("together", on_time(0.2, sleep_together))


def interrupted_sleep():
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    time.sleep(0.3)


calls = []
signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
print("signal", on_time(0.3, interrupted_sleep), len(calls) > 0)


class Interrupted(Exception):
    pass


def interrupt(*_):
    raise Interrupted


signal.signal(signal.SIGALRM, interrupt)
def cut_sleep():
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        time.sleep(5)
    except Interrupted:
        pass


print("exception from a handler", on_time(0.1, cut_sleep))
print("event", on_time(0.1, lambda: threading.Event().wait(0.1)))
try:
    queue.Queue().get(timeout=0.1)
except queue.Empty:
    print("queue")
