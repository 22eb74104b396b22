# SPDX-License-Identifier: Apache-2.0
"""Python's threads and what they wait for each other with. `--list` names the cases."""
import concurrent.futures
import contextvars
import gc
import os
import queue
import sys
import threading
import time
import weakref

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def start(count, target):
    threads = [threading.Thread(target=target, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    return threads


def join(threads):
    for t in threads:
        t.join()


@case
def identities():
    barrier, seen, lock = threading.Barrier(20), set(), threading.Lock()

    def run(i):
        barrier.wait()
        with lock:
            seen.add((threading.get_ident(), threading.get_native_id()))

    threads = start(20, run)
    join(threads)
    print(len(seen), len({n for _, n in seen}), threads[0].is_alive(), threading.active_count())
    print(threading.get_native_id() == os.getpid(), threading.current_thread() is threading.main_thread())


@case
def a_thousand_in_turn():
    total = []
    for i in range(1000):
        t = threading.Thread(target=total.append, args=(i,))
        t.start()
        t.join()
    print(sum(total))


@case
def three_hundred_at_once():
    barrier, total = threading.Barrier(301), []
    threads = start(300, lambda i: (total.append(i), barrier.wait(), barrier.wait()))
    barrier.wait()
    print(threading.active_count(), sum(total))
    barrier.wait()
    join(threads)
    print(threading.active_count())


@case
def locks():
    lock, rlock = threading.Lock(), threading.RLock()
    lock.acquire()
    rlock.acquire()
    rlock.acquire()
    tries = []
    join(start(1, lambda _: tries.extend([lock.acquire(False), lock.acquire(timeout=0.01), rlock.acquire(timeout=0.01)])))
    join(start(1, lambda _: lock.release()))  # any thread may
    print(tries, lock.locked(), rlock._is_owned())
    try:
        join(start(1, lambda _: tries.append(rlock.release())))
        rlock.release()
        rlock.release()
        rlock.release()
    except RuntimeError as e:
        print(e)
    count = [0]

    def add(_):
        for _ in range(2000):
            with lock:
                count[0] += 1

    join(start(8, add))
    print(count[0])


@case
def conditions():
    condition, turn = threading.Condition(), [0]

    def run(own):
        for _ in range(50):
            with condition:
                condition.wait_for(lambda: turn[0] % 5 == own)
                turn[0] += 1
                condition.notify_all()

    join(start(5, run))
    with condition:
        print(turn, condition.wait(0.01), condition.wait_for(lambda: False, 0.01))
    try:
        condition.notify()
    except RuntimeError as e:
        print(e)


@case
def semaphores_events_barriers():
    slots, inside, most, lock = threading.BoundedSemaphore(3), [0], [0], threading.Lock()

    def run(_):
        with slots:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.002)
            with lock:
                inside[0] -= 1

    join(start(12, run))
    print(most[0] <= 3)
    try:
        slots.release()
    except ValueError as e:
        print(e)
    event, woken = threading.Event(), []
    threads = start(10, lambda i: woken.append(event.wait(10)))
    print(event.wait(0.01))
    event.set()
    join(threads)
    print(woken)
    barrier, results = threading.Barrier(3), []

    def breaks(i):
        try:
            barrier.wait(0.02 if i else 10)
        except threading.BrokenBarrierError:
            results.append("broken")

    join(start(2, breaks))
    print(results, barrier.broken)


@case
def timers_and_sleeps():
    fired = threading.Event()
    timer = threading.Timer(0.01, fired.set)
    timer.start()
    print(fired.wait(10))
    never = threading.Timer(10, print, ["never"])
    never.start()
    never.cancel()
    never.join()
    begin = time.monotonic()
    join(start(50, lambda _: time.sleep(0.05)))
    took = time.monotonic() - begin
    print(took >= 0.05, took < 2)


@case
def locals_and_context():
    local, variable = threading.local(), contextvars.ContextVar("v", default="unset")
    local.value, gone, results = "main's", [], []

    class Tracked:
        pass

    def run(i):
        variable.set(i)
        local.value, local.tracked = i, Tracked()
        weakref.finalize(local.tracked, gone.append, i)
        time.sleep(0.002)
        results.append(local.value == i and variable.get() == i)

    join(start(20, run))
    gc.collect()
    print(all(results), len(results), sorted(gone) == list(range(20)), local.value, variable.get())


@case
def queues():
    work, done = queue.Queue(5), queue.PriorityQueue()

    def run(_):
        while (n := work.get()) is not None:
            done.put(-n)
            work.task_done()
        work.task_done()

    threads = start(4, run)
    for n in range(200):
        work.put(n)
    for _ in threads:
        work.put(None)
    work.join()
    join(threads)
    print(done.qsize(), [done.get() for _ in range(3)], work.empty())
    for attempt in (lambda: work.get(timeout=0.01), lambda: work.get_nowait(), lambda: [work.put(0, timeout=0.01) for _ in range(6)]):
        try:
            attempt()
        except (queue.Empty, queue.Full) as e:
            print(type(e).__name__)
    simple = queue.SimpleQueue()
    threads = start(5, lambda i: [simple.put(i) for _ in range(100)])
    print(sum(simple.get() for _ in range(500)))
    join(threads)


@case
def pools():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print(sum(pool.map(lambda n: n * n, range(300))))
        futures = [pool.submit(time.sleep, 0.001 * (i % 3)) for i in range(50)]
        done, rest = concurrent.futures.wait(futures)
        print(len(done), len(rest))
        failing = pool.submit(lambda: 1 / 0)
        print(repr(failing.exception()))
        slow = pool.submit(time.sleep, 0.1)
        try:
            slow.result(timeout=0.001)
        except concurrent.futures.TimeoutError:
            print("late")
        print(sorted(f.result() for f in concurrent.futures.as_completed([pool.submit(pow, 2, n) for n in range(10)])))


@case
def a_variable_of_another_thread():
    state = {"go": False, "turns": 0}

    def spins(_):
        while not state["go"]:
            state["turns"] += 1

    threads = start(3, spins)
    time.sleep(0.03)
    state["go"] = True
    join(threads)
    print(state["turns"] > 0)


@case
def spinning_for_each_other():
    turn = [0]

    def run(own):
        for _ in range(3):
            while turn[0] % 3 != own:
                pass
            turn[0] += 1

    join(start(3, run))
    print(turn)


@case
def imports_and_interning():
    def run(i):
        import importlib
        for name in ("decimal", "fractions", "json", "xml.dom.minidom", "email.message", "csv"):
            importlib.import_module(name)
        import decimal
        with decimal.localcontext() as context:
            context.prec = 5 + i
            time.sleep(0.001)
            results.append(len(str(decimal.Decimal(1) / 3)) == 7 + i)

    results = []
    join(start(8, run))
    print(results)


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
    else:
        CASES[sys.argv[1]]()


if __name__ == "__main__":
    main()
