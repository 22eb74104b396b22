# SPDX-License-Identifier: Apache-2.0
"""Python's interpreter among threads: exceptions, stacks, signals, forks, its end. `--list` names the cases."""
import _thread
import faulthandler
import os
import signal
import sys
import threading
import time

from threads import join, start

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


@case
def exceptions_and_hooks():
    caught = []
    threading.excepthook = lambda args: caught.append((args.exc_type.__name__, str(args.exc_value), args.thread.name))
    t = threading.Thread(target=lambda: [][1], name="fails")
    t.start()
    t.join()
    print(caught)
    join(start(1, lambda _: sys.exit(3)))
    join(start(1, lambda _: _thread.exit()))
    print("still here", len(caught))
    threading.excepthook = threading.__excepthook__

    def interrupted(i):
        try:
            time.sleep(0.001)
            raise KeyError(i)
        except KeyError as e:
            time.sleep(0.002)
            caught.append(sys.exc_info()[1] is e and e.args[0] == i)

    join(start(10, interrupted))
    print(caught[1:].count(True))


@case
def stacks_and_recursion():
    sys.setrecursionlimit(100_000)
    depths = []

    def dive(n):
        return 0 if n == 0 else 1 + max(dive(n - 1), 0)

    for size in (0, 1 << 20, 16 << 20):
        threading.stack_size(size)
        join(start(2, lambda _: depths.append(dive(2000))))
    threading.stack_size(0)
    try:
        threading.stack_size(100)
    except ValueError as e:
        print(e)
    print(depths)


@case
def dumps_of_all_threads():
    event = threading.Event()

    def named_so(_):
        event.wait()

    threads = start(3, named_so)
    reader, writer = os.pipe()
    faulthandler.dump_traceback(writer, all_threads=True)
    os.close(writer)
    text = os.fdopen(reader).read()
    print(text.count("Thread 0x"), text.count("Current thread"), text.count("named_so"), len(sys._current_frames()))
    event.set()
    join(threads)


@case
def daemons_end_with_main():
    start_daemons = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(10)]
    start_daemons += [threading.Thread(target=threading.Lock().acquire, args=(), daemon=True) for _ in range(3)]
    for t in start_daemons:
        t.start()
    threading.Thread(target=lambda: (time.sleep(0.02), print("a plain one is waited for", flush=True))).start()
    print("main ends", flush=True)


@case
def signals_reach_main():
    got = []
    signal.signal(signal.SIGUSR1, lambda *_: got.append(threading.current_thread() is threading.main_thread()))
    others = start(3, lambda _: time.sleep(0.05))
    sender = threading.Thread(target=lambda: (time.sleep(0.005), os.kill(os.getpid(), signal.SIGUSR1)))
    sender.start()
    begin = time.monotonic()
    time.sleep(0.05)  # goes on after the handler
    print(got, time.monotonic() - begin >= 0.05)
    join(others + [sender])
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    waiter = start(1, lambda _: got.append(signal.sigwait({signal.SIGUSR2}) == signal.SIGUSR2))
    os.kill(os.getpid(), signal.SIGUSR2)
    join(waiter)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    lock = threading.Lock()
    lock.acquire()

    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        lock.acquire()
    except Interrupted:
        got.append("a lock's wait interrupted")
    print(got)


@case
def forks_from_threads():
    results = []

    def run(i):
        pid = os.fork()
        if pid == 0:
            inner = threading.Thread(target=time.sleep, args=(0.002,))
            inner.start()
            inner.join()
            os._exit(10 + i if threading.active_count() == 1 else 1)
        results.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    join(start(6, run))
    print(sorted(results))


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
    else:
        CASES[sys.argv[1]]()


if __name__ == "__main__":
    main()
