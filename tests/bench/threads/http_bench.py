#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's python3 with http.server's ThreadingHTTPServer, bare and under `weft run`: a small static file, 1,000 connections that are kept alive.

    http_bench.py --weft weft --load load [--only-print]
"""
import argparse
import os
import statistics
import sys
import tempfile

from bench_tools import limits, load, median, raise_descriptors, server

CONNECTIONS = 1000
SECONDS = 4
ROUNDS = 3
LEAST_GAIN = 2.5
FILE_SIZE = 1000


def measure(args, prefix, directory):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "http_server.py")
    with server([args.python, "-B", script, directory], prefix) as (process, port):
        return load(args.load, port, process, "--connections", CONNECTIONS, "--seconds", SECONDS, "--warm", 0.5, "--timeout", 2,
                    "--http", "/small.txt", "--body", os.path.join(directory, "small.txt"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weft", required=True)
    parser.add_argument("--load", required=True)
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--only-print", action="store_true")
    args = parser.parse_args()
    if not os.path.exists(args.python):
        print(f"{args.python} is missing")
        sys.exit(1)
    raise_descriptors(CONNECTIONS + 256)
    rounds = {"bare": [], "weft": []}
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "small.txt"), "w", encoding="ascii") as f:
            f.write("".join(chr(33 + i * 7 % 90) for i in range(FILE_SIZE)))
        for _ in range(ROUNDS):
            for kind, prefix in (("bare", []), ("weft", [args.weft, "run"])):
                rounds[kind].append(measure(args, prefix, directory))
    gain = statistics.median(w["rate"] / b["rate"] for w, b in zip(rounds["weft"], rounds["bare"]))
    print(f"{'server':>6} {'us/request':>10} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'errors':>6} {'time-outs':>9}")
    for kind, all_rounds in rounds.items():
        values = [median(all_rounds, name) for name in ("server_us", "rate", "p50_us", "p99_us")]
        failures = [sum(r[name] for r in all_rounds) for name in ("errors", "timeouts")]
        print(f"{kind:>6} {values[0]:10.1f} {values[1]:10.0f} {values[2] / 1000:8.1f} {values[3] / 1000:8.1f} {failures[0]:6.0f} {failures[1]:9.0f}"
              + (f"   {gain:.2f} times bare's requests" if kind == "weft" else ""))
    held = limits()
    held.at_least("requests/s, of bare's", gain, LEAST_GAIN)
    held.at_most("errors", sum(r["errors"] for r in rounds["weft"]), sum(r["errors"] for r in rounds["bare"]))
    held.at_most("time-outs", sum(r["timeouts"] for r in rounds["weft"]), sum(r["timeouts"] for r in rounds["bare"]))
    held.exit()


if __name__ == "__main__":
    main()
