#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a conformance program bare and under weft, or the whole suite under the wrong runtime.

    conform.py compare --program P --weft W [--option O]...   equal output and status, no failed check
    conform.py crowd --program P --weft W                     200 threads that wait are few kernel threads
    conform.py memcheck --program P --shim S --valgrind V     no error under valgrind's memcheck
    conform.py control --control SO --programs LIST           most must fail, and all whose threads wait for each other
"""
import argparse
import concurrent.futures
import os
import re
import signal
import subprocess
import sys

LIMIT = 60         # seconds for a program that takes less than one
MEMCHECK_LIMIT = 350
CONTROL_LIMIT = 3  # bare none takes half of it
CONTROL_AT_ONCE = 12  # most hang


def run(command, environment, limit):
    """Output and exit status of a command; None for the status where it had to be ended, with all it started."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
    env.update(environment)
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, errors="replace", start_new_session=True)
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        return output, errors, None
    return output, errors, process.returncode


def compare(options):
    bare, errors, status = run([options.program], {}, LIMIT)
    if status != 0 or "FAILED" in bare:
        sys.exit(f"{bare}{errors}\nFAIL: bare, exit status {status}")
    served, errors, status = run([options.weft, "run", *options.option, options.program], {}, LIMIT)
    if status != 0 or served != bare:
        missing = [line for line in bare.splitlines() if line not in served.splitlines()]
        sys.exit(f"{served}{errors}\nFAIL: under weft, exit status {status} ({'no end' if status is None else 'bare 0'}); "
                 f"not as bare: {missing}")
    print(bare, end="")


def memcheck(options):
    """memcheck has nothing to say, but what it says of every program."""
    command = [options.valgrind, "-q", "--error-exitcode=99", options.program]
    output, errors, status = run(command, {"LD_PRELOAD": options.shim}, MEMCHECK_LIMIT)
    if status != 0 or "FAILED" in output or "==" in errors:
        sys.exit(f"{output}{errors}\nFAIL: under memcheck, exit status {status}")
    print(output, end="")


def kernel_threads(command):
    """How many the process has while its 200 threads wait."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "here\n":
            sys.exit("FAIL: the program does not begin")
        count = len(os.listdir(f"/proc/{process.pid}/task"))
        process.stdin.close()
        process.stdout.read()
        if process.wait(LIMIT) != 0:
            sys.exit(f"FAIL: exit status {process.returncode}")
        return count


def crowd(options):
    bare, served = (kernel_threads([*way, options.program, "crowd"]) for way in ([], [options.weft, "run"]))
    print(f"kernel threads: {bare} bare, {served} under weft")
    if bare < 200 or served > 20:
        sys.exit("FAIL: a test of green threads has real ones")


def waits_between_threads(program):
    """A program says of itself that its threads wait for each other."""
    with open(program, encoding="utf-8") as source:
        return re.search(r"\b(sem_wait|sem_timedwait|pthread_cond_\w*wait|pthread_barrier_wait|UNTIL)\s*\(", source.read()) is not None


def control(options):
    pairs = [pair.split("=", 1) for pair in options.programs]
    with concurrent.futures.ThreadPoolExecutor(CONTROL_AT_ONCE) as pool:
        results = pool.map(lambda pair: run([pair[1]], {"LD_PRELOAD": options.control}, CONTROL_LIMIT), pairs)
    failed, passed = [], []
    for (source, _), (output, _, status) in zip(pairs, results):
        (passed if status == 0 and "FAILED" not in output else failed).append(source)
    print(f"{len(failed)} of {len(pairs)} programs tell the wrong runtime; not told by:",
          *(os.path.basename(p) for p in passed))
    wrong = [os.path.basename(p) for p in passed if waits_between_threads(p)]
    if wrong:
        sys.exit(f"FAIL: threads wait for each other in {wrong}, which pass all the same")
    if len(failed) * 2 < len(pairs):
        sys.exit("FAIL: most programs pass although each thread runs to its end within pthread_create")


parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["compare", "crowd", "control", "memcheck"])
parser.add_argument("--program")
parser.add_argument("--weft")
parser.add_argument("--option", action="append", default=[])
parser.add_argument("--control")
parser.add_argument("--shim")
parser.add_argument("--valgrind")
parser.add_argument("--programs", nargs="*", default=[])
arguments = parser.parse_args()
{"compare": compare, "crowd": crowd, "control": control, "memcheck": memcheck}[arguments.mode](arguments)
