#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that are built with a sanitizer, bare and under `weft run`: they work, and find what they are built to find.

    sanitizer_test.py --weft W --program P (--address | --thread) CASE
"""
import argparse
import os
import subprocess
import sys

LIMIT = 60
args = None


def run(*command, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "ASAN_", "TSAN_", "LSAN_")) and k != "LD_PRELOAD"}
    return subprocess.run(command, env={**clean, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)


def expect(what, condition):
    if not condition:
        sys.exit(f"FAIL: {what}")


def both(wrong, says):
    """Bare and served: the same status, and what is said of it."""
    bare, served = run(args.program, wrong), run(args.weft, "run", args.program, wrong)
    for r in (bare, served):
        expect(r, says in r.stderr)
    expect(f"{bare}\n{served}", bare.returncode == served.returncode and bare.stdout == served.stdout)
    return served


def works():
    served = both("nothing", "")
    expect(served, served.returncode == 0 and served.stderr == "")
    counted = run(args.weft, "run", "--stats", args.program)
    line = next((line for line in counted.stderr.splitlines() if "pthread_create" in line), "")
    expect(counted, int(line.split()[2]) >= 50 and "fibers: 51 spawned" in counted.stderr)


def finds():
    both("heap", "heap-use-after-free")
    both("stack", "stack-buffer-overflow")
    both("leak", "4321 byte")


def what_live_threads_hold_is_no_leak():
    served = both("held", "")
    expect(served, "Direct leak" not in served.stderr)


def children_are_not_sanitized():
    served = both("child", "")
    expect(served, served.returncode == 4)


def by_a_child():
    bare, served = run("/bin/sh", "-c", args.program), run(args.weft, "run", "/bin/sh", "-c", args.program)
    expect(served, (bare.returncode, bare.stdout) == (served.returncode, served.stdout) == (0, "1225\n"))


def threads_stay_real():
    served = run(args.weft, "run", args.program)
    expect(served, served.returncode == 0 and served.stdout == "1225\n" and "kernel threads" in served.stderr)
    bare, served = run(args.program, "race"), run(args.weft, "run", args.program, "race")
    expect(f"{bare}\n{served}", "data race" in bare.stderr and "data race" in served.stderr and bare.returncode == served.returncode)


parser = argparse.ArgumentParser()
parser.add_argument("--weft")
parser.add_argument("--program")
parser.add_argument("case")
args = parser.parse_args()
globals()[args.case]()
