#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one probe in one mode and holds its lines against those of the bare run.

    probe.py MODE --lines FILE --program P [--early E] [--object O] [--ticker K] [--weft W] [--shim S]

bare      P as it is; its lines go to FILE
run       W run P
preload   LD_PRELOAD=S P
served    W run P, where every call goes through the runtime although the program has a single fiber
preinit   LD_PRELOAD=S E, whose cases run from .preinit_array and once more, served, from main
ticking   W run P with a second fiber that counts (object K): a line that took its time shows that it ran meanwhile
trapped   as ticking, with --trap
ctor      LD_PRELOAD=S:O true: O's constructor runs before the shim's
inert     as preinit, but without the shim: shows that a probe itself does not mind being early

Every field must be equal; only the milliseconds may differ by a fifth and a little, and because a busy machine can
delay either run, a difference that lies in the milliseconds alone is measured again, bare too, a few times.
"""
import argparse
import os
import signal
import subprocess
import sys

ATTEMPTS = 4
SLACK_MS = 20
LONG_MS = 40   # a call that took so long waited
PAUSE_MS = 25  # the longest the counting fiber may stand still meanwhile


def run(command, environment, limit):
    """Output of a command and how it failed, or None; the whole process group is ended when it runs past its limit."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
    env.update(environment)
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return output, f"no end within {limit:.0f} s"
    return output, f"exit status {process.returncode}" if process.returncode else None


def parse(output):
    """Maps each label to (its exact fields, milliseconds or None, None or how the counting fiber stood still meanwhile)."""
    lines = {}
    for line in output.splitlines():
        fields = line.split(" ")
        if len(fields) not in (6, 8):
            sys.exit(f"{output}\nFAIL: not a line of a probe: {line!r}")
        label, *exact, ms = fields[:6]
        if label in lines:
            sys.exit(f"FAIL: label {label} printed twice")
        ms = None if ms == "-" else int(ms)
        lines[label] = (exact, ms, stillness(ms, *map(int, fields[6:])) if fields[6:] else None)
    if not lines:
        sys.exit("FAIL: the probe printed nothing")
    return lines


def stillness(ms, ticks, pause):
    """A tick takes 2 ms, or somewhat longer on a busy machine."""
    if ms < LONG_MS or (ticks >= ms / 8 and pause <= PAUSE_MS):
        return None
    return f"{ticks} ticks in {ms} ms, the longest pause {pause} ms"


def near(bare, other):
    if bare is None or other is None:
        return bare == other
    return abs(bare - other) <= max(bare, other) * 0.2 + SLACK_MS


def differences(bare, other, prefix):
    """Two lists: what differs in the exact fields, and what only in time."""
    exact, timed = [], []
    for label in sorted(bare.keys() | other.keys()):
        if label not in other:
            exact.append(f"{prefix}{label}: missing")
        elif label not in bare:
            exact.append(f"{prefix}{label}: only here")
        elif bare[label][0] != other[label][0]:
            exact.append(f"{prefix}{label}: bare {' '.join(bare[label][0])}, here {' '.join(other[label][0])}")
        elif not near(bare[label][1], other[label][1]):
            timed.append(f"{prefix}{label}: bare {bare[label][1]} ms, here {other[label][1]} ms")
        elif other[label][2]:
            timed.append(f"{prefix}{label}: the hub stood still: {other[label][2]}")
    return exact, timed


def compare(bare, other, mode):
    if mode not in ("preinit", "inert"):
        return differences(bare, other, "")
    early = {k: v for k, v in other.items() if not k.startswith("main:")}
    later = {k.removeprefix("main:"): v for k, v in other.items() if k.startswith("main:")}
    first, second = differences(bare, early, "early:"), differences(bare, later, "main:")
    return first[0] + second[0], first[1] + second[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["bare", "run", "preload", "served", "ticking", "trapped", "preinit", "ctor", "inert"])
    parser.add_argument("--lines", required=True)
    parser.add_argument("--program", required=True)
    for name in ("early", "object", "ticker", "weft", "shim"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--limit", type=float, default=45)
    args = parser.parse_args()

    command, environment = {
        "bare": lambda: ([args.program], {}),
        "run": lambda: ([args.weft, "run", args.program], {}),
        "preload": lambda: ([args.program], {"LD_PRELOAD": args.shim}),
        "served": lambda: ([args.weft, "run", args.program], {"WEFT_ALWAYS_SERVE": "1"}),
        "ticking": lambda: ([args.weft, "run", args.program], {"LD_PRELOAD": args.ticker}),
        "trapped": lambda: ([args.weft, "run", "--trap", args.program], {"LD_PRELOAD": args.ticker}),
        "preinit": lambda: ([args.early], {"LD_PRELOAD": args.shim, "WEFT_ALWAYS_SERVE": "1"}),
        "ctor": lambda: (["/bin/true"], {"LD_PRELOAD": f"{args.shim}:{args.object}"}),
        "inert": lambda: ([args.early], {}),
    }[args.mode]()

    if args.mode == "bare":
        output, failure = run(command, environment, args.limit)
        if failure:
            sys.exit(f"{output}\nFAIL: {failure}")
        lines = parse(output)
        with open(args.lines + ".new", "w") as file:
            file.write(output)
        os.replace(args.lines + ".new", args.lines)
        print(f"{len(lines)} lines")
        return
    with open(args.lines) as file:
        bare = parse(file.read())
    suspects = None
    for attempt in range(ATTEMPTS):
        if attempt > 0:
            output, failure = run([args.program], {}, args.limit)
            if failure:
                sys.exit(f"{output}\nFAIL: bare: {failure}")
            bare = parse(output)
        output, failure = run(command, environment, args.limit)
        exact, timed = compare(bare, parse(output), args.mode)
        if failure:
            cut = [line for line in exact if not line.endswith(": missing")]
            last = output.rstrip().rpartition("\n")[2]
            sys.exit("\n".join(cut) + f"\nFAIL: {failure}; the last line was: {last}")
        if exact:
            sys.exit("\n".join(exact + timed) + f"\nFAIL: {len(exact)} of {len(bare)} lines differ from the bare run")
        labels = {line.split(" ")[0]: line for line in timed}
        suspects = labels if suspects is None else {k: v for k, v in labels.items() if k in suspects}
        if not suspects:
            print(f"{len(bare)} lines as bare" + (f" at attempt {attempt + 1}" if attempt else ""))
            return
    sys.exit("\n".join(suspects.values()) + f"\nFAIL: {len(suspects)} lines took another time, {ATTEMPTS} times over")


if __name__ == "__main__":
    main()
