#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs core_bench several times, its benchmarks in turn, prints the medians beside the raw switch, and fails where a target
is missed. The machine may be shared: only the median of interleaved runs counts.

    core_targets.py [--only-print] build/release/bin/core_bench
"""
import json
import statistics
import subprocess
import sys

ROUNDS = 9
YIELD_PER_RAW = 3.0     # a yield costs at most this many raw switches
SPAWN_JOIN_NS = 100.0   # spawn and join, at most


def one_round(program):
    """Nanoseconds of CPU time for each benchmark's unit."""
    out = subprocess.run([program, "--benchmark_format=json", "--benchmark_min_time=0.05"],
                         check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120).stdout
    return {b["name"]: 1e9 / b["items_per_second"] for b in json.loads(out)["benchmarks"]}


def main():
    program = sys.argv[-1]
    rounds = [one_round(program) for _ in range(ROUNDS)]
    median = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    raw = median["raw_jump"]
    print(f"{'median of ' + str(ROUNDS):26} {'ns':>10} {'x raw':>8}")
    for name, ns in median.items():
        print(f"{name:26} {ns:10.1f} {ns / raw:8.1f}")
    # The ratio of each round, since a round is slowed down as a whole.
    ratio = statistics.median(r["yield"] / r["raw_jump"] for r in rounds)
    missed = []
    if ratio > YIELD_PER_RAW:
        missed.append(f"yield costs {ratio:.2f} raw switches, more than {YIELD_PER_RAW}")
    if median["spawn_join"] > SPAWN_JOIN_NS:
        missed.append(f"spawn+join costs {median['spawn_join']:.0f} ns, more than {SPAWN_JOIN_NS:.0f}")
    for line in missed:
        print("MISSED:", line)
    return 1 if missed and "--only-print" not in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
