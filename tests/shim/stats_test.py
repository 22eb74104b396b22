#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`--stats`: exact counts, in every way a process can end. One case a run.

    stats_test.py --list
    stats_test.py --weft W --shim S --program P --linked L CASE
"""
import argparse
import os
import re
import subprocess
import sys

CASES = {}
args = None


def case(function):
    CASES[function.__name__] = function
    return function


def expect(what, condition):
    if not condition:
        sys.exit(f"FAIL: {what}")


def run(*command, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
    return subprocess.run(command, env={**clean, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


class Report:
    """What one process printed."""

    COLUMNS = ("calls", "served", "no_fiber", "alone", "off", "inside", "no_waiting", "waits")

    def __init__(self, lines):
        self.calls = {}
        self.totals = {}
        for line in lines:
            m = re.fullmatch(r"weft: (\S+|\(no call\)) +(\d+) +(\d+) \| +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) \| +(\d+) +([\d.]+)", line)
            if m:
                self.calls[m[1]] = dict(zip(self.COLUMNS, map(int, m.groups()[1:9])), waited=float(m[10]))
            for number, what in re.findall(r"(\d+) (spawned|finished|at most at once)", line):
                self.totals[what] = int(number)
            for what, number in re.findall(r"(switches|polls|timers|peak resident size): (\d+)", line):
                self.totals[what] = int(number)
        self.text = "\n".join(lines)

    def expect(self, name, **wanted):
        got = self.calls.get(name, {})
        for column in self.COLUMNS:
            if column in wanted:
                expect(f"{name}.{column}: wanted {wanted[column]}\n{self.text}", got.get(column) == wanted[column])


def reports(stderr):
    """The reports of the processes, as they ended."""
    parts = re.split(r"^(?=weft: statistics of process )", stderr, flags=re.M)
    expect(stderr, parts[0] == "")
    return [Report(p.splitlines()) for p in parts[1:]]


def check_calls(report):
    report.expect("send", calls=7, served=7, no_fiber=0, alone=0, off=0, inside=0, no_waiting=0, waits=0)
    report.expect("recv", calls=10, served=7, no_waiting=3, waits=0)
    report.expect("read", served=0, no_waiting=5)
    report.expect("nanosleep", calls=2, served=2, waits=2)
    waited = report.calls["nanosleep"]["waited"]
    expect(report.text, 40 <= waited < 2000)
    expect(report.text, report.totals["spawned"] == 1 and report.totals["at most at once"] == 1 and report.totals["timers"] >= 2
           and report.totals["peak resident size"] > 500)


@case
def every_way_to_end():
    for how in ("return", "exit", "_exit", "_Exit", "quick_exit", "closed"):
        r = run(args.weft, "run", "--stats", args.program, how, WEFT_ALWAYS_SERVE="1")
        expect(f"{how}: {r}", r.returncode == 3 and r.stdout == "")
        all_of_them = reports(r.stderr)
        expect(f"{how}: {r}", len(all_of_them) == 1)
        check_calls(all_of_them[0])


@case
def preloaded_by_hand():
    r = run(args.program, LD_PRELOAD=args.shim, WEFT_ALWAYS_SERVE="1", WEFT_STATS="1")
    check_calls(*reports(r.stderr))
    r = run(args.program, LD_PRELOAD=args.shim, WEFT_ALWAYS_SERVE="1")
    expect(r, r.stderr == "" and r.returncode == 3)


@case
def lines_are_sorted_by_count():
    r = run(args.weft, "run", "--stats", args.program, WEFT_ALWAYS_SERVE="1")
    counts = [c["calls"] for c in reports(r.stderr)[0].calls.values()]
    expect(r, len(counts) > 3 and counts == sorted(counts, reverse=True))


@case
def no_fiber_is_told():
    report, = reports(run(args.weft, "run", "--stats", args.program).stderr)
    report.expect("send", calls=7, served=0, no_fiber=7)
    report.expect("nanosleep", calls=2, served=0, no_fiber=2, waits=0)


@case
def family_off_is_told():
    report, = reports(run(args.weft, "run", "--stats", "--no-time", args.program, WEFT_ALWAYS_SERVE="1").stderr)
    report.expect("send", calls=7, served=7, off=0)
    report.expect("nanosleep", calls=2, served=0, off=2, waits=0)


@case
def threads_are_added_up():
    report, = reports(run(args.weft, "run", "--stats", args.program, "threads", WEFT_NO_THREADS="1").stderr)
    report.expect("send", calls=407, no_fiber=407)
    report.expect("recv", calls=410, no_fiber=410)


@case
def a_forked_child_counts_its_own():
    r = run(args.weft, "run", "--stats", args.program, "fork", WEFT_ALWAYS_SERVE="1")
    child, parent = reports(r.stderr)
    expect(r, r.returncode == 3)
    check_calls(parent)
    expect(r, "send" not in child.calls)
    child.expect("nanosleep", calls=1, served=1, waits=1)
    expect(r, child.totals["spawned"] == 1 and child.totals["timers"] == 1)


@case
def a_vforked_child_says_nothing():
    r = run(args.weft, "run", "--stats", args.program, "vfork", WEFT_ALWAYS_SERVE="1")
    expect(r, r.returncode == 3)
    check_calls(*[p for p in reports(r.stderr) if p.calls])


@case
def a_linked_program():
    r = run(args.linked, WEFT_STATS="1")
    expect(r, r.returncode == 0 and r.stdout == "done\n")
    report, = reports(r.stderr)
    report.expect("nanosleep", calls=10, served=10, waits=10)
    expect(r, report.calls["nanosleep"]["waited"] >= 10 * 5)
    report.expect("read", calls=1, served=1, waits=1)
    report.expect("write", calls=1, served=1, waits=0)
    expect(r, report.totals["spawned"] == 13 and report.totals["at most at once"] == 13 and report.totals["finished"] == 12)
    m = re.search(r"longest without a call: (\d+)\.\d+ ms, by fiber \d+ \"busy\"", r.stderr)
    expect(r, m and 30 <= int(m[1]) < 3000)
    expect(r, re.search(r"longest in a call \(\w+\): [\d.]+ ms, by fiber", r.stderr))
    r = run(args.linked)
    expect(r, r.returncode == 0 and r.stderr == "")


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument("case", nargs="?")
    parser.add_argument("--list", action="store_true")
    for name in ("weft", "shim", "program", "linked"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
        return
    CASES[args.case]()


if __name__ == "__main__":
    main()
