#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the runner notices: each planted difference must make it fail, the same lines must not."""
import os
import subprocess
import sys
import tempfile

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.py")
GOOD = ["read/ready 5 - hello - 0", "read/blocks 4 - late 0x0 60", "read/fact 1 - - - -"]
PLANTED = {
    "another result": ["read/ready 4 - hello - 0", *GOOD[1:]],
    "another errno": ["read/ready 5 EINTR hello - 0", *GOOD[1:]],
    "other bytes": ["read/ready 5 - hellO - 0", *GOOD[1:]],
    "other flags": [GOOD[0], "read/blocks 4 - late 0x800 60", GOOD[2]],
    "too slow": [GOOD[0], "read/blocks 4 - late 0x0 160", GOOD[2]],
    "too fast": [GOOD[0], "read/blocks 4 - late 0x0 1", GOOD[2]],
    "a line missing": GOOD[:2],
    "a line too many": [*GOOD, "read/more 1 - - - -"],
    "a line twice": [*GOOD, GOOD[2]],
    "no line of a probe": [*GOOD, "Segmentation fault"],
    "nothing": [],
}


def program(path, lines, status=0):
    text = "".join(f"echo '{line}'\n" for line in lines)
    main = "".join(f"echo 'main:{line}'\n" for line in lines)
    with open(path, "w") as file:
        file.write(f"#!/bin/sh\n{text}{main if path.endswith('early') else ''}exit {status}\n")
    os.chmod(path, 0o700)


def main():
    with tempfile.TemporaryDirectory(prefix="weft-probe-") as directory:
        bare, early, lines = (os.path.join(directory, name) for name in ("bare", "early", "lines"))

        def runner(mode):
            command = [sys.executable, RUNNER, mode, "--lines", lines, "--program", bare, "--early", early]
            return subprocess.run(command, capture_output=True, text=True)

        program(bare, GOOD)
        program(early, GOOD)
        wrong = [f"{mode}: {result.stdout}{result.stderr}" for mode in ("bare", "inert")
                 if (result := runner(mode)).returncode != 0]
        for name, planted in PLANTED.items():
            program(early, planted)
            if runner("inert").returncode == 0:
                wrong.append(f"{name}: not noticed")
        program(early, GOOD, status=1)
        if runner("inert").returncode == 0:
            wrong.append("exit status: not noticed")
        if wrong:
            sys.exit("\n".join(wrong))
        print(f"{len(PLANTED) + 1} planted differences noticed")


if __name__ == "__main__":
    main()
