#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`weft run --workers N`: threads that compute run at once, and the kernel threads are as many as they are to be.

    workers_test.py --weft W --busy B
"""
import argparse
import os
import resource
import subprocess
import sys
import time

LIMIT_S, TRIES = 60, 8
AT_ONCE, ONE_BY_ONE = 1.5, 1.2
SHARE = 0.25  # of the process's processor time, for each of two kernel threads


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}


def processors(*command):
    return float(subprocess.run([*command, "4", "150"], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout)


def kernel_threads(pid):
    """The name and the processor time, in ns, of each kernel thread that runs the program's threads."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as comm, open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as times:
                name, used = comm.read().strip(), int(times.read().split()[0])
        except OSError:
            continue
        if int(tid) == pid or name == "weft-worker":
            yield name, used


def while_it_computes(weft, busy, number, enough):
    """What `enough` makes of the kernel threads of a process with 8 threads that compute, as soon as it likes it; else of the last ones seen."""
    with subprocess.Popen([weft, "run", "--workers", str(number), busy, "8", str(LIMIT_S * 500)], env=environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:
        good, seen = False, []
        while not good and process.poll() is None:
            seen = sorted(used for _, used in kernel_threads(process.pid))
            good = enough(seen)
            time.sleep(0.01)
        process.kill()
        return good, seen


def both_compute(used):
    return len(used) == 2 and used[0] > 50_000_000 and used[0] > SHARE * sum(used)


def with_descriptors(weft, busy, most):
    """What is said where the process may open so many descriptors."""
    run = subprocess.run([weft, "run", "--workers", "3", busy, "4", "50"], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=LIMIT_S, check=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))
    return run.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weft", required=True)
    parser.add_argument("--busy", required=True)
    args = parser.parse_args()
    for most, words in (24, "room for 1 worker, not for 3"), (40, "room for 2 workers, not for 3"), (64, ""):
        if (said := with_descriptors(args.weft, args.busy, most)).count("\n") != bool(words) or words not in said:
            sys.exit(f"FAIL: with {most} descriptors: {said!r}")
    good, seen = while_it_computes(args.weft, args.busy, 4, lambda used: len(used) == 4)
    if not good:
        sys.exit(f"FAIL: {len(seen)} kernel threads, where there are to be 4")
    good, seen = while_it_computes(args.weft, args.busy, 2, both_compute)
    if not good:
        sys.exit(f"FAIL: two kernel threads are to share the work; their processor times: {seen}")
    served = [args.weft, "run"]
    if (alone := processors(*served, args.busy)) > ONE_BY_ONE:
        sys.exit(f"FAIL: {alone} processors by one kernel thread")
    seen = []
    for _ in range(TRIES if len(os.sched_getaffinity(0)) > 1 else 0):
        seen.append((processors(args.busy), processors(*served, "--workers", "2", args.busy)))
        if seen[-1][1] > AT_ONCE:
            break
    print("processors, bare and by two kernel threads:", *seen)
    # Where somebody else has the other processor, bare threads have not got it either.
    if any(bare > AT_ONCE for bare, _ in seen) and all(here <= AT_ONCE for _, here in seen):
        sys.exit("FAIL: two kernel threads do not compute at once")


if __name__ == "__main__":
    main()
