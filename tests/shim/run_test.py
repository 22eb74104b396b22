#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`weft run` and how a preloaded shim starts: one case a run.

    run_test.py --list
    run_test.py --weft W --shim S --hosted H --other O CASE
"""
import argparse
import os
import signal
import subprocess
import sys
import tempfile

CASES = {}
LIMIT = 30
args = None


def case(function):
    CASES[function.__name__] = function
    return function


def run(*command, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
    return subprocess.run(command, env={**clean, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=LIMIT)


def weft_run(*words, **environment):
    return run(args.weft, "run", *words, **environment)


def expect(what, condition):
    if not condition:
        sys.exit(f"FAIL: {what}")


def calls(family, *options, **environment):
    """Whether a call of that family is served."""
    r = weft_run(*options, "--", args.hosted, "call", family, WEFT_ALWAYS_SERVE="1", **environment)
    expect(f"{family}: {r}", r.returncode == 0 and r.stdout in ("served\n", "bare\n"))
    return r.stdout == "served\n"


FAMILIES = ("io", "time", "dns", "poll")


@case
def every_family_is_served():
    for family in FAMILIES:
        expect(family, calls(family))


@case
def numbers_have_bounds():
    """Kernel threads for green threads: from 1 to 64, also more than there are processors."""
    for number in ("0", "65", "-1", "two", "", "1.5"):
        r = weft_run("--workers", number, "true")
        expect(f"--workers {number!r}: {r}", r.returncode == 125 and "--workers" in r.stderr and "1 to 64" in r.stderr)
        r = weft_run("true", WEFT_WORKERS=number)
        expect(f"WEFT_WORKERS={number!r}: {r}", r.returncode == 0 and (number == "" or "from 1 to 64" in r.stderr))
    for number in ("1", "2", "64"):
        expect(f"--workers {number}", weft_run("--workers", number, "true").returncode == 0)
        r = weft_run("true", WEFT_WORKERS=number)
        expect(f"WEFT_WORKERS={number}: {r}", r.returncode == 0 and not r.stderr)
    expect("--help-options", "WEFT_WORKERS" in run(args.weft, "--help-options").stdout)


@case
def option_switches_a_family_off():
    for family in FAMILIES:
        expect(f"--no-{family}", not calls(family, f"--no-{family}"))
    expect("the others stay", calls("time", "--no-io", "--no-poll"))


@case
def environment_switches_a_family_off():
    for family in FAMILIES:
        name = f"WEFT_NO_{family.upper()}"
        expect(f"{name}=1", not calls(family, **{name: "1"}))
        expect(f"{name}=0", calls(family, **{name: "0"}))
    r = run(args.hosted, "call", "time", LD_PRELOAD=args.shim, WEFT_ALWAYS_SERVE="1", WEFT_NO_TIME="1")
    expect(f"preloaded by hand: {r}", r.stdout == "bare\n")


@case
def senseless_value_is_named_and_ignored():
    r = run(args.hosted, "call", "time", LD_PRELOAD=args.shim, WEFT_ALWAYS_SERVE="1", WEFT_NO_TIME="perhaps")
    expect(r, r.stdout == "served\n" and "perhaps" in r.stderr and "NO_TIME" in r.stderr.upper())


@case
def one_fiber_makes_real_calls():
    for family in FAMILIES:
        r = weft_run(args.hosted, "call", family)
        expect(r, r.stdout == "bare\n")


@case
def arguments_pass():
    words = ["", "a b", "--no-io", "-v", "--", "$HOME", "ä\n"]
    for command in (["--", args.hosted], [args.hosted]):
        r = weft_run(*command, *words)
        expect(r, r.stdout == "".join(f"[{w}]\n" for w in words) and r.returncode == len(words) + 1 and r.stderr == "")


@case
def exit_status_passes():
    for status in (0, 1, 77, 126, 127, 255):
        r = weft_run("/bin/sh", "-c", f"exit {status}")
        expect(f"{status}: {r}", r.returncode == status and r.stdout == "" and r.stderr == "")


@case
def not_found_is_127():
    r = weft_run("/no/such/program")
    expect(r, r.returncode == 127 and "/no/such/program" in r.stderr)
    r = weft_run("no-such-program-of-that-name")
    expect(r, r.returncode == 127 and "no-such-program-of-that-name" in r.stderr)


@case
def not_executable_is_126():
    with tempfile.NamedTemporaryFile() as file:
        r = weft_run(file.name)
        expect(r, r.returncode == 126 and file.name in r.stderr)
    r = weft_run("/tmp")
    expect(r, r.returncode == 126)


@case
def wrong_use_is_told():
    for words in ([], ["--no-such-option", "/bin/true"]):
        r = weft_run(*words)
        expect(f"{words}: {r}", r.returncode == 125 and r.stderr)


@case
def pid_and_signals_are_the_programs():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen([args.weft, "run", args.hosted, "wait"], stdout=subprocess.PIPE, text=True) as p:
            try:
                pid = int(p.stdout.readline())
                expect(f"pid {pid}, started {p.pid}", pid == p.pid)
                p.send_signal(number)
                expect(f"{number!r}: {p.wait(LIMIT)}", p.returncode == -number)
            finally:
                p.kill()


CHILD = "grep -c libweft-shim /proc/self/maps; echo \"<$LD_PRELOAD>\""


@case
def children_are_preloaded():
    r = weft_run("/bin/sh", "-c", CHILD)
    lines = r.stdout.splitlines()
    expect(r, r.returncode == 0 and int(lines[0]) > 0 and "libweft-shim.so" in lines[1])


@case
def no_follow_leaves_children_alone():
    for words, environment in ((["--no-follow"], {}), ([], {"WEFT_FOLLOW": "0"})):
        r = weft_run(*words, "/bin/sh", "-c", CHILD + "; grep -c libweft-shim /proc/$$/maps", **environment)
        lines = r.stdout.splitlines()
        expect(r, lines[0] == "0" and lines[1] == "<>" and int(lines[2]) > 0)
    # What else was preloaded stays.
    r = weft_run("--no-follow", "/bin/sh", "-c", "echo \"$LD_PRELOAD\"", LD_PRELOAD=args.other.replace("other", "absent"))
    expect(r, "absent" in r.stdout and "libweft-shim" not in r.stdout)


@case
def other_version_is_refused():
    for command in (["/bin/true"], [args.hosted, "call", "time"]):
        r = run(*command, LD_PRELOAD=f"{args.other}:{args.shim}")
        expect(r, r.returncode == 127 and "0.0.0-other" in r.stderr and "libweft" in r.stderr and r.stdout == "")


@case
def verbose_says_so():
    r = weft_run("--verbose", "/bin/true")
    expect(r, r.returncode == 0 and "libweft-shim" in r.stderr)
    r = weft_run("/bin/true")
    expect(r, r.returncode == 0 and r.stderr == "")


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument("case", nargs="?")
    parser.add_argument("--list", action="store_true")
    for name in ("weft", "shim", "hosted", "other"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
        return
    CASES[args.case]()


if __name__ == "__main__":
    main()
