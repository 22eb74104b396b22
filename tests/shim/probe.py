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

Every field must be equal; only the milliseconds may differ by a fifth and a little. A busy machine can delay either run: how much it
did is measured beside each line and allowed for, and what still differs in the milliseconds alone is measured again, bare too, a few
times. So is a line with another difference, if the machine stood still while it came about.
"""
import argparse
import os
import signal
import subprocess
import sys
import threading
import time

import noise

ATTEMPTS = 4
SLACK_MS = 20
NOISY_MS = 15  # who was kept waiting for so long may have come too late, and a line may say something else for it
LONG_MS = 40   # a call that took so long waited
PAUSE_MS = 25  # the longest the counting fiber may stand still meanwhile


class Line:
    """What a probe says of one call: the exact fields, the milliseconds or None, what the ticker counted, and what the machine did to it."""

    def __init__(self, text, delay=0.0, kept=0.0, standstill=0.0):
        fields = text.split(" ")
        if len(fields) not in (6, 8):
            raise ValueError(f"not a line of a probe: {text!r}")
        self.label, *self.exact, ms = fields[:6]
        self.ms = None if ms == "-" else int(ms)
        self.ticks = tuple(map(int, fields[6:]))
        self.delay = delay            # ms that all who had a part in it may have been kept from running, together
        self.kept = kept              # the program itself
        self.standstill = standstill  # and at once

    def stood_still(self):
        """How the counting fiber did, if not well. A tick takes 2 ms, or somewhat longer on a busy machine."""
        if not self.ticks or self.ms < LONG_MS:
            return None
        ticks, pause = self.ticks
        if ticks >= (self.ms - self.kept) / 8 and pause <= PAUSE_MS + self.standstill:
            return None
        return f"{ticks} ticks in {self.ms} ms, the longest pause {pause} ms (the machine: {self.kept:.0f} ms, {self.standstill:.0f} ms)"

    def near(self, other):
        """Who is kept from running takes longer, never shorter."""
        if self.ms is None or other.ms is None:
            return self.ms == other.ms
        longer, shorter = (self, other) if self.ms > other.ms else (other, self)
        return longer.ms - shorter.ms <= longer.ms * 0.2 + SLACK_MS + longer.delay


def run(command, environment, limit):
    """The lines of a command, each with the machine's part in it, and how it failed, or None. The whole process group is ended when it
    runs past its limit."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
    env.update(environment)
    texts, arrivals = [], []
    with noise.Metronome() as metronome:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        late = threading.Event()

        def end():
            late.set()
            os.killpg(process.pid, signal.SIGKILL)

        alarm = threading.Timer(limit, end)
        alarm.start()
        arrivals.append((time.monotonic(), 0.0, noise.pressure()))
        for text in process.stdout:
            texts.append(text.rstrip("\n"))
            arrivals.append((time.monotonic(), noise.waited(process.pid), noise.pressure()))
        status = process.wait()
        alarm.cancel()
    failure = f"no end within {limit:.0f} s" if late.is_set() else f"exit status {status}" if status else None
    lines = {}
    carried = 0.0
    for text, (start, before, pressed), (end, after, still_pressed) in zip(texts, arrivals, arrivals[1:]):
        total, longest = metronome.between(start, end)
        kept = max(0.0, after - before)
        try:
            line = Line(text, still_pressed - pressed + total, kept + total, kept + longest)
        except ValueError as error:
            sys.exit("\n".join(texts) + f"\nFAIL: {error}" + (f"; {failure}" if failure else ""))
        if line.ms is None:  # what is said of the call before
            line.delay += carried
        carried = line.delay
        if line.label in lines:
            sys.exit(f"FAIL: label {line.label} printed twice")
        lines[line.label] = line
    if not lines:
        sys.exit("FAIL: the probe printed nothing" + (f"; {failure}" if failure else ""))
    return lines, texts, failure


def run_bare(command, limit):
    """A probe alone is right, unless the machine was too busy for it."""
    for _ in range(ATTEMPTS):
        lines, texts, failure = run(command, {}, limit)
        if not failure:
            return lines, texts
    sys.exit("\n".join(texts) + f"\nFAIL: bare: {failure}")


def differences(bare, other, prefix):
    """What differs in the exact fields; what only in time; and labels of the latter that differ otherwise, on a machine that was too busy."""
    exact, timed, doubtful = [], [], []
    for label in sorted(bare.keys() | other.keys()):
        if label not in other:
            exact.append(f"{prefix}{label}: missing")
            continue
        if label not in bare:
            exact.append(f"{prefix}{label}: only here")
            continue
        here, there = other[label], bare[label]
        if there.exact != here.exact:
            noisy = max(here.delay, there.delay) >= NOISY_MS
            (timed if noisy else exact).append(f"{prefix}{label}: bare {' '.join(there.exact)}, here {' '.join(here.exact)}")
            doubtful += [label] if noisy else []
        elif not there.near(here):
            timed.append(f"{prefix}{label}: bare {there.ms} ms, here {here.ms} ms (the machine: {there.delay:.0f} and {here.delay:.0f} ms)")
        elif complaint := here.stood_still():
            timed.append(f"{prefix}{label}: the hub stood still: {complaint}")
    return exact, timed, doubtful


def compare(bare, other, mode):
    if mode not in ("preinit", "inert"):
        return differences(bare, other, "")
    early = {k: v for k, v in other.items() if not k.startswith("main:")}
    later = {k.removeprefix("main:"): v for k, v in other.items() if k.startswith("main:")}
    first, second = differences(bare, early, "early:"), differences(bare, later, "main:")
    return tuple(a + b for a, b in zip(first, second))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["bare", "run", "workers", "preload", "served", "ticking", "trapped", "preinit", "ctor", "inert"])
    parser.add_argument("--lines", required=True)
    parser.add_argument("--program", required=True)
    for name in ("early", "object", "ticker", "weft", "shim"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--limit", type=float, default=45)
    args = parser.parse_args()

    command, environment = {
        "bare": lambda: ([args.program], {}),
        "run": lambda: ([args.weft, "run", args.program], {}),
        "workers": lambda: ([args.weft, "run", "--workers=3", args.program], {}),
        "preload": lambda: ([args.program], {"LD_PRELOAD": args.shim}),
        "served": lambda: ([args.weft, "run", args.program], {"WEFT_ALWAYS_SERVE": "1"}),
        "ticking": lambda: ([args.weft, "run", args.program], {"LD_PRELOAD": args.ticker}),
        "trapped": lambda: ([args.weft, "run", "--trap", args.program], {"LD_PRELOAD": args.ticker}),
        "preinit": lambda: ([args.early], {"LD_PRELOAD": args.shim, "WEFT_ALWAYS_SERVE": "1"}),
        "ctor": lambda: (["/bin/true"], {"LD_PRELOAD": f"{args.shim}:{args.object}"}),
        "inert": lambda: ([args.early], {}),
    }[args.mode]()

    if args.mode == "bare":
        lines, texts = run_bare(command, args.limit)
        with open(args.lines + ".new", "w") as file:
            file.writelines(text + "\n" for text in texts)
        os.replace(args.lines + ".new", args.lines)
        print(f"{len(lines)} lines")
        return
    with open(args.lines) as file:
        bare = {line.label: line for line in map(Line, file.read().splitlines())}
    suspects = None
    for attempt in range(ATTEMPTS):
        if attempt > 0:
            bare, _ = run_bare([args.program], args.limit)
        other, texts, failure = run(command, environment, args.limit)
        exact, timed, doubtful = compare(bare, other, args.mode)
        if exact and not failure and attempt == 0:  # nobody knows how busy the machine was when the bare lines were written
            bare, _ = run_bare([args.program], args.limit)
            exact, timed, doubtful = compare(bare, other, args.mode)
        if failure and doubtful and attempt < ATTEMPTS - 1:
            continue  # a case that went another way may have left the next one without what it waits for
        if failure:
            cut = [line for line in exact if not line.endswith(": missing")]
            sys.exit("\n".join(cut) + f"\nFAIL: {failure}; the last line was: {texts[-1]}")
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
