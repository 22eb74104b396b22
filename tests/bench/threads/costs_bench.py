#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What single things cost an unmodified program, bare and under `weft run`: a thread, a lock, a child, a start, a system call, and the memory of
threads that sleep.

    costs_bench.py --weft weft --one-run one_run --asleep asleep [--only-print] [--threads 100000]
"""
import argparse
import resource
import subprocess
import time

from bench_tools import limits

ROUNDS = 5
MOST_CREATE_NS = 1000
MOST_MUTEX_RATIO = 1.5
MOST_FORK_EXTRA_MS = 1.0
MOST_KIB = {64: 12, 0: 18}  # stack in KiB (0: the default): resident memory and page tables of a sleeping thread


def output(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=170).stdout.decode()


def both(args, command, measure):
    """The best of interleaved rounds, bare and preloaded: what disturbs only adds."""
    rounds = [(measure(command), measure([args.weft, "run", *command])) for _ in range(ROUNDS)]
    return tuple(min(column) for column in zip(*rounds))


def start_us(command):
    begin = time.monotonic()
    for _ in range(20):
        subprocess.run(command, check=True)
    return (time.monotonic() - begin) / 20 * 1e6


def costs(args, held):
    print(f"{'':34} {'bare':>10} {'weft run':>10}")
    found = {}
    for what, title in (("create", "pthread_create + join, ns"), ("mutex", "mutex lock + unlock, ns"), ("mutex_alone", "the same, without threads, ns"),
                        ("calls", "read + write of a device, ns"), ("fork", "fork + exec + wait of a child, ns")):
        found[what] = both(args, [args.one_run, what], lambda command: float(output(command)))
        print(f"{title:34} {found[what][0]:10.1f} {found[what][1]:10.1f}", flush=True)
    bare, weft = both(args, ["/bin/true"], start_us)
    print(f"{'start of a program, us':34} {bare:10.1f} {weft:10.1f}", flush=True)
    held.at_most("pthread_create + join in ns", found["create"][1], MOST_CREATE_NS)
    held.at_most("a mutex' cost, of bare's", found["mutex"][1] / found["mutex"][0], MOST_MUTEX_RATIO)
    held.at_most("what a child costs more, in ms", (found["fork"][1] - found["fork"][0]) / 1e6, MOST_FORK_EXTRA_MS)


def memory(args, held):
    for stack, most in MOST_KIB.items():
        for way in ("cond", "sleep"):
            words = output([args.weft, "run", args.asleep, str(args.threads), str(stack), way]).split()
            values = dict(zip(words[::2], map(float, words[1::2])))
            kib = values["rss_kib"] + values["tables_kib"]
            print(f"{args.threads} threads asleep ({way}), {f'{stack} KiB' if stack else 'default'} stacks: {kib:.2f} KiB each ({values['rss_kib']:.2f} resident, "
                  f"{values['tables_kib']:.2f} page tables), made in {values['made_us']:.1f} us, ended in {values['ended_us']:.1f} us", flush=True)
            held.at_most(f"a thread with {f'{stack} KiB' if stack else 'the default'} stack in KiB", kib, most)


def main():
    parser = argparse.ArgumentParser()
    for name in ("weft", "one-run", "asleep"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--only-print", action="store_true")
    parser.add_argument("--only-memory", action="store_true")
    parser.add_argument("--threads", type=int, default=100000)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    held = limits()
    if not args.only_memory:
        costs(args, held)
    memory(args, held)
    held.exit()


if __name__ == "__main__":
    main()
