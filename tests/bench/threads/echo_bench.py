#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An unmodified thread-per-connection echo server in C, bare and under `weft run`, beside one written by hand on epoll.

    echo_bench.py --weft weft --threads echo_threads --epoll echo_epoll --load load [--only-print] [--rounds N] [--points 50,1000]

Rounds are interleaved, servers are fresh in each round, and medians are compared, since the machine may be shared. Server and load each have a core.
"""
import argparse
import statistics

from bench_tools import limits, load, median, raise_descriptors, server

# connections: seconds a round, stack in KiB (None: the default), preloaded/epoll at most, bare/preloaded at least
POINTS = [
    (50, 0.8, 64, 1.12, 1.4),
    (1000, 0.8, 64, 1.10, 1.8),
    (1000, 0.8, None, None, None),
    (5000, 1.2, 64, 1.15, 2.1),
    (10000, 1.5, 64, None, 1.4),
]
ROUNDS = 5
LEAST_RATE = 0.95  # of the epoll server's requests a second
MOST_P99 = 1.1     # of the bare server's


def measure(args, kind, connections, seconds, stack):
    command = [args.epoll] if kind == "epoll" else [args.threads] + ([str(stack)] if stack else [])
    prefix = [args.weft, "run"] if kind == "weft" else []
    with server(command, prefix) as (process, port):
        return load(args.load, port, process, "--connections", connections, "--seconds", seconds, "--timeout", 20)


def main():
    parser = argparse.ArgumentParser()
    for name in ("weft", "threads", "epoll", "load"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--only-print", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--points", default="")
    args = parser.parse_args()
    raise_descriptors(10000 + 256)
    chosen = {int(p) for p in args.points.split(",") if p}
    held = limits()
    print(f"{'connections':>11} {'stack':>7} {'server':>6} {'us/request':>10} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'errors':>6}  ratios, medians of the rounds'")
    for connections, seconds, stack, most_of_epoll, least_gain in POINTS:
        if chosen and connections not in chosen:
            continue
        kinds = ["bare", "weft"] + (["epoll"] if most_of_epoll or not least_gain else [])
        rounds = {kind: [] for kind in kinds}
        for _ in range(args.rounds if connections < 10000 else min(args.rounds, 3)):
            for kind in kinds:
                rounds[kind].append(measure(args, kind, connections, seconds, stack))

        def ratio(name, above, below):
            """The ratio of each round, since a round is slowed down as a whole."""
            return statistics.median(a[name] / b[name] for a, b in zip(rounds[above], rounds[below]))

        gain = ratio("server_us", "bare", "weft")
        tail = ratio("p99_us", "weft", "bare")
        notes = {"weft": f"bare/weft {gain:.2f}, p99 {tail:.2f} of bare"}
        if "epoll" in kinds:
            over = ratio("server_us", "weft", "epoll")
            rate = ratio("rate", "weft", "epoll")
            notes["weft"] += f", weft/epoll {over:.2f}, rate {rate:.2f}"
            notes["epoll"] = f"bare/epoll {ratio('server_us', 'bare', 'epoll'):.2f}"
        for kind in kinds:
            failures = sum(r["errors"] + r["timeouts"] for r in rounds[kind])
            values = [median(rounds[kind], name) for name in ("server_us", "rate", "p50_us", "p99_us")]
            print(f"{connections:11} {f'{stack} KiB' if stack else 'default':>7} {kind:>6} {values[0]:10.2f} {values[1]:10.0f} {values[2] / 1000:8.2f} {values[3] / 1000:8.2f} "
                  f"{failures:6.0f}  {notes.get(kind, '')}", flush=True)
            if kind == "weft":
                held.at_most(f"errors at {connections} connections", failures, 0)
        if least_gain:
            held.at_least(f"bare/weft at {connections} connections", gain, least_gain)
        if most_of_epoll:
            held.at_most(f"weft/epoll at {connections} connections", over, most_of_epoll)
            held.at_least(f"requests/s of epoll's at {connections} connections", rate, LEAST_RATE)
            held.at_most(f"p99 of bare at {connections} connections", tail, MOST_P99)
    held.exit()


if __name__ == "__main__":
    main()
