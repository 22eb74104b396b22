#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The n-th call of something beneath weft fails. The program must see that error or none, keep its bytes and descriptors, and end.

    fault_test.py --list
    fault_test.py --shim S --fault F --plain P --fibers L --calls calls.def CASE
    fault_test.py … --only 'read:2:EIO'     one fault, with the program's output
"""
import argparse
import os
import subprocess
import sys
import tempfile

MOST = 3       # n = 1..MOST, as long as there are so many calls
LIMIT = 12     # seconds a run
args = None

MOVES = ("EIO", "EINTR")
SOCKET_MOVES = ("ECONNRESET", "EINTR", "ENOBUFS")
NEW = ("EMFILE", "ENFILE", "ENOMEM")

# By case: what fails, and how.
PLAN = {
    "files": {c: MOVES for c in "read readv write writev __read_chk preadv2 pwritev2 pread pwrite preadv pwritev".split()},
    "sockets": {c: SOCKET_MOVES for c in "recv recvfrom recvmsg send sendto sendmsg __recv_chk __recvfrom_chk recvmmsg sendmmsg".split()},
    "connections": {"accept": ("EMFILE", "ECONNABORTED", "ENOBUFS", "EINTR"), "accept4": ("EMFILE", "ECONNABORTED", "ENOBUFS", "EINTR"),
                    "connect": ("ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL"), "shutdown": ("ENOTCONN",), "setsockopt": ("ENOPROTOOPT",),
                    "getsockopt": ("ENOBUFS",)},
    "descriptors": {**{c: NEW for c in "socket socketpair pipe pipe2 eventfd epoll_create1".split()},
                    **{c: NEW for c in "dup dup2 dup3 open openat timerfd_create".split()},
                    "close": ("EIO", "EINTR"), "fcntl": ("EIO",), "fcntl64": ("EIO",), "ioctl": ("EIO",), "fstat": ("EIO", "ENOMEM")},
    "readiness": {**{c: ("ENOMEM", "EINTR") for c in "poll ppoll select pselect __poll_chk __ppoll_chk".split()},
                  **{c: ("EINTR",) for c in "epoll_wait epoll_pwait".split()},
                  "epoll_ctl": ("ENOMEM", "ENOSPC")},
    "time": {c: ("EINTR",) for c in "nanosleep usleep clock_nanosleep".split()},
    "processes": {"fork": ("EAGAIN", "ENOMEM"), **{c: ("EINTR",) for c in "waitpid wait4 waitid".split()}, "popen": ("EMFILE", "ENOMEM"),
                  "pclose": ("EIO",), "fgets": ("EIO",), "system": ("EAGAIN",)},
    "memory": {"mmap": ("ENOMEM",), "mprotect": ("ENOMEM",), "madvise": ("ENOMEM", "EINVAL"), "mremap": ("ENOMEM",), "malloc": ("ENOMEM",),
               "calloc": ("ENOMEM",), "realloc": ("ENOMEM",), "_Znwm": ("ENOMEM",), "_ZnwmSt11align_val_t": ("ENOMEM",),
               "pthread_create": ("EAGAIN",), "sigaltstack": ("ENOMEM",)},
}
# The kernel refuses a call altogether: an older one, or a sandbox.
REFUSED = {"sys.io_uring_setup": ("ENOSYS", "EPERM"), "sys.io_uring_enter": ("EPERM", "ENOMEM"),
           "sys.process_vm_readv": ("EPERM", "ENOSYS"), "sys.pidfd_open": ("ENOSYS", "EPERM"), "sys.madvise": ("EINVAL",)}

# What else a program may see when a part of weft's own fails: nothing to be had is said in the words of what was to be made.
WORDS = {"ENOMEM": {"ENOMEM", "EAGAIN", "EMFILE"}, "EAGAIN": {"EAGAIN", "ENOMEM"}, "ENOSPC": {"ENOSPC", "ENOMEM"},
         "EMFILE": {"EMFILE"}, "ENFILE": {"ENFILE"}}


def run(program, faults):
    with tempfile.TemporaryDirectory() as room:
        log = os.path.join(room, "log")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_") and k != "LD_PRELOAD"}
        environment.update(WEFT_FAULT=faults, WEFT_FAULT_LOG=log, WEFT_ALWAYS_SERVE="1")
        if program == "plain":
            environment.update(LD_PRELOAD=f"{args.shim}:{args.fault}", WEFT_FOLLOW="0")
        path = args.plain if program == "plain" else args.fibers
        try:
            r = subprocess.run([path], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired as e:
            return None, [], f"it hung; so far: {e.stdout} {e.stderr}"
        hits = open(log).read().splitlines() if os.path.exists(log) else []
        return r, hits, None


def judge(program, fault, error):
    """Runs it; None when the fault was not reached, else a list of complaints."""
    r, hits, hung = run(program, fault)
    if hung:
        return [hung]
    refused = fault.startswith("sys.")
    if not refused and not hits:
        return None if r.returncode == 0 else [f"status {r.returncode}: {r.stdout} {r.stderr}"]
    complaints = []
    if r.returncode != 0:
        complaints.append(f"status {r.returncode}: {r.stderr}")
    lines = r.stdout.splitlines()
    if "done " not in lines:
        complaints.append("it did not come to its end")
    allowed = {error, "EAI"} | WORDS.get(error, set())
    for line in lines:
        what, _, said = line.partition(" ")
        if what == "BAD":
            complaints.append(line)
        elif what != "done" and said not in allowed:
            complaints.append(f"the program saw {line}")
    return complaints


def plan_of(case, program):
    everything = REFUSED if case == "refused" else PLAN[case]
    known = {line[len("WEFT_CALL("):].split(",")[0] for line in open(args.calls) if line.startswith("WEFT_CALL(")}
    own = PLAN["memory"].keys() | {"fstat", "getsockopt"}
    for name, errors in everything.items():
        if case != "refused" and name not in known and name not in own:
            continue # not intercepted in this version
        for error in errors:
            yield name, error


def run_case(case):
    program, _, what = case.partition(".")
    failed = runs = reached = 0
    for name, error in plan_of(what, program):
        for n in range(1, MOST + 1):
            fault = f"{name}:1+:{error}" if what == "refused" else f"{name}:{n}:{error}"
            if what == "connections":
                fault += ",sys.io_uring_setup:1+:ENOSYS" # else they are made by io_uring
            complaints = judge(program, fault, error)
            runs += 1
            if complaints is None:
                break
            reached += 1
            if complaints:
                failed += 1
                print(f"FAIL {program} {fault}: " + "; ".join(complaints))
            if what == "refused":
                break
    print(f"{case}: {runs} runs, {reached} faults met, {failed} failures")
    return failed


CASES = [f"{p}.{c}" for p in ("plain", "fibers") for c in [*PLAN, "refused"]] + ["seam"]


def seam():
    """The seam itself: nothing asked for, everything goes on; and the n-th call fails, and no other."""
    r, hits, hung = run("plain", "")
    assert not hung and r.returncode == 0 and r.stdout == "done \n" and not hits, r
    for text in ("read", "read:1", "read:0:EIO", "read:1:NONE", "read:x:EIO", ":1:EIO", "sys.madvise:2:EINVAL"):
        r, said, hung = run("plain", text)
        assert not hung and "WEFT_FAULT makes no sense" in said, (text, r, said)
    r, hits, hung = run("plain", "recvfrom:1:EIO,sendto:1:ENOBUFS")
    lines = [] if hung else sorted(r.stdout.splitlines())
    assert sorted(l.split()[-1] for l in lines) == ["EIO", "ENOBUFS", "done"] and r.returncode == 0, (r, hits)


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument("case", nargs="?")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only")
    for name in ("shim", "fault", "plain", "fibers", "calls"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
    elif args.only is not None:
        for program in ("plain", "fibers"):
            print(program, *run(program, args.only))
    elif args.case == "seam":
        seam()
    else:
        sys.exit(1 if run_case(args.case) else 0)


if __name__ == "__main__":
    main()
