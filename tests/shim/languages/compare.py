#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each case of a program bare and under `weft run`: status, output and messages must be the same.

    compare.py --weft W [--option OPTION]... [--case NAME]... -- COMMAND...

COMMAND with `--list` names its cases, with the name of one runs it. A program of one case only is given with --case ''.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

LIMIT_S = 60


def run(command):
    """Exit status, output and messages without their addresses and numbers of threads."""
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("WEFT_")}
    with tempfile.TemporaryDirectory(prefix="weft-languages-") as directory:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, errors="replace", start_new_session=True,
                                   env={**environment, "PYTHONDONTWRITEBYTECODE": "1"})
        status = None
        try:
            out, err = process.communicate(timeout=LIMIT_S)
            status = process.returncode
        except subprocess.TimeoutExpired:
            status = f"no end within {LIMIT_S} s"
        try:
            os.killpg(process.pid, signal.SIGKILL)  # children that were left, too
        except ProcessLookupError:
            pass
        if process.returncode is None:
            out, err = process.communicate()
    return status, out, re.sub(r"0x[0-9a-f]+|weft-languages-\w+", "N", err)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weft", required=True)
    parser.add_argument("--option", action="append", default=[], help="of weft run, e.g. --option=--no-threads")
    parser.add_argument("--case", action="append")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    cases = args.case
    if not cases:
        cases = subprocess.run([*args.command, "--list"], stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT_S,
                               env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).stdout.split()
    if not cases:
        sys.exit("FAIL: no cases")
    failed = 0
    for name in cases:
        command = [*args.command, *([name] if name else [])]
        begin = time.monotonic()
        bare = run(command)
        middle = time.monotonic()
        here = run([args.weft, "run", *args.option, "--", *command])
        print(f"{name}: {middle - begin:.2f} s bare, {time.monotonic() - middle:.2f} s under weft", flush=True)
        if isinstance(bare[0], str):
            print(f"FAIL: bare: {bare}")
            failed += 1
        for what, a, b in zip(("status", "output", "messages"), bare, here):
            if a != b:
                print(f"FAIL: {name}: {what} differ\n  bare: {a!r}\n  weft: {b!r}", flush=True)
                failed += 1
    if failed:
        sys.exit(f"FAIL: {failed} differences in {len(cases)} cases")
    print(f"{len(cases)} cases are equal")


if __name__ == "__main__":
    main()
