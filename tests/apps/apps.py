#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one case of a Debian program bare and under `weft run`, and compares.

    apps.py --list
    apps.py --weft W CASE

A case returns a command (and perhaps its input); what is compared are exit status, standard output, standard error
with its numbers blanked, the files written, and the time, which on a busy machine is measured again.
"""
import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from peer import BODY, Peer

CURL, WGET, PYTHON = "/usr/bin/curl", "/usr/bin/wget", "/usr/bin/python3"
HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S, ATTEMPTS, SLACK_S = 40, 3, 0.4
CASES = {}


def case(expected_status=0):
    """Registers a function of (peer) that returns (command, input bytes or None)."""
    def register(function):
        CASES[function.__name__] = (function, expected_status)
        return function
    return register


def curl(*arguments, data=None):
    return [CURL, "-sS", "--noproxy", "*", *arguments], data


def wget(*arguments):
    return [WGET, "-nv", "--no-proxy", "--no-config", *arguments], None


def script(name):
    return [PYTHON, "-I", os.path.join(HERE, "scripts", name)], None


@case()
def curl_download(peer):
    return curl("-o", "out", peer.url("/big"))


@case()
def curl_to_a_pipe(peer):
    return curl(peer.url("/big"))


@case()
def curl_post(peer):
    return curl("--data-binary", "@-", peer.url("/"), data=BODY[:3_000_000])


@case()
def curl_upload_of_unknown_size(peer):
    return curl("-T", "-", "-X", "POST", peer.url("/"), data=BODY[:1_000_000])


@case(28)
def curl_timeout(peer):
    return curl("--max-time", "0.5", peer.url("/slow"))


@case(7)
def curl_refused(peer):
    return curl(f"http://127.0.0.1:{peer.closed_port}/")


@case()
def curl_unix_socket(peer):
    return curl("--unix-socket", peer.unix, "http://host/small")


@case()
def curl_localhost(peer):
    return curl("-4", peer.url("/small", host="localhost"))


@case(6)
def curl_unknown_host(peer):
    return curl("http://no-such-host.invalid/")


@case()
def curl_redirect(peer):
    return curl("-L", peer.url("/redirect"))


@case()
def curl_pieces(peer):
    return curl("-N", peer.url("/pieces"))


@case(18)
def curl_cut_off(peer):
    return curl(peer.url("/cut"))


@case(22)
def curl_missing(peer):
    return curl("-f", peer.url("/missing"))


@case()
def curl_many_on_one_connection(peer):
    return curl("-w", "%{num_connects}\n", *(peer.url(f"/small{i}") for i in range(20)))


@case()
def curl_parallel(peer):
    return curl("-Z", "--no-progress-meter", "--parallel-immediate", *(a for i in range(8) for a in ("-o", f"out{i}", peer.url("/pieces"))))


@case()
def wget_download(peer):
    return wget("-O", "out", peer.url("/big"))


@case()
def wget_localhost(peer):
    return wget("-4", "-O", "-", peer.url("/small", host="localhost"))


@case()
def wget_redirect(peer):
    return wget("-O", "out", peer.url("/redirect"))


@case(4)
def wget_timeout(peer):
    return wget("-T", "0.5", "-t", "1", "-O", "out", peer.url("/slow"))


@case(4)
def wget_refused(peer):
    return wget("-t", "1", f"http://127.0.0.1:{peer.closed_port}/")


@case(8)
def wget_missing(peer):
    return wget("-O", "out", peer.url("/missing"))


@case(4)
def wget_unknown_host(peer):
    return wget("-t", "1", "http://no-such-host.invalid/")


@case(8)  # one of the links is broken
def wget_recursive(peer):
    return wget("-e", "robots=off", "-r", "-np", "-nH", peer.url("/tree/"))


@case()
def python_sockets(peer):
    return script("sockets.py")


@case()
def python_select(peer):
    return script("multiplex.py")


@case()
def python_sleep(peer):
    return script("sleep.py")


@case()
def python_http(peer):
    return script("http_threads.py")


@case()
def python_subprocess(peer):
    return script("children.py")


def files_in(directory):
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = hashlib.sha256(file.read()).hexdigest()
    return found


def run(command, data):
    """Exit status, stdout, stderr without its numbers, files written, seconds."""
    environment = {k: v for k, v in os.environ.items()
                   if k != "LD_PRELOAD" and not k.startswith("WEFT_") and not k.lower().endswith("_proxy")}
    with tempfile.TemporaryDirectory(prefix="weft-apps-") as directory:
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(data or b"", timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            sys.exit(f"FAIL: no end within {LIMIT_S} s: {command}\n{out[-2000:]!r}\n{err[-2000:]!r}")
        seconds = time.monotonic() - start
        digest = out if len(out) < 2000 else hashlib.sha256(out).hexdigest()
        blanked = re.sub(rb"weft-apps-\w+", b"D", re.sub(rb"[0-9.]*[0-9]+(?: ?[KMG]?B/s)?", b"N", err))
        return process.returncode, digest, blanked, files_in(directory), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--weft")
    parser.add_argument("case", nargs="?", choices=CASES)
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
        return
    prepare, expected = CASES[args.case]
    with tempfile.TemporaryDirectory(prefix="weft-peer-") as directory, Peer(directory) as peer:
        command, data = prepare(peer)
        if not os.path.exists(command[0]):
            sys.exit(f"FAIL: {command[0]} is not installed; tests/packages installs it")
        for attempt in range(ATTEMPTS):
            bare = run(command, data)
            if bare[0] != expected:
                sys.exit(f"FAIL: bare exit status {bare[0]} instead of {expected}: {bare[1]!r} {bare[2]!r}")
            # Without a launcher only the bare half is shown: for those who write cases.
            here = run([args.weft, "run", "--", *command], data) if args.weft else bare
            for name, a, b in zip(("exit status", "output", "messages", "files"), bare, here):
                if a != b:
                    sys.exit(f"FAIL: {name} differ: bare {a!r}, under weft {b!r}\nmessages: {here[2]!r}")
            if abs(bare[4] - here[4]) <= bare[4] * 0.2 + SLACK_S:
                print(f"exit status {bare[0]}, {bare[4]:.2f} s bare, {here[4]:.2f} s under weft\n{bare[1]!r}\n{bare[2]!r}")
                return
        sys.exit(f"FAIL: {bare[4]:.2f} s bare, {here[4]:.2f} s under weft, {ATTEMPTS} times over")


if __name__ == "__main__":
    main()
