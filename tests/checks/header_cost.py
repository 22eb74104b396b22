#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what including a public header costs: under half a second more than <thread>, <queue> and <future>.

usage: header_cost.py HEADER... -- COMPILER FLAG...

Processor time. The limit is a ratio, of what the three took where it was set: each header is compared with them compiled just before it, as
machines differ and others work beside us, and the best of a few such pairs counts.
"""
import resource
import subprocess
import sys
import tempfile

REFERENCE = 0.55 # seconds for the three, where 0.5 more was the limit
LIMIT = (REFERENCE + 0.5) / REFERENCE
PAIRS = 8
BASE = "#include <thread>\n#include <queue>\n#include <future>\n"


def seconds(command, text):
    """Processor time of one compilation."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
        source.write(text + "int main() {}\n")
        source.flush()
        subprocess.run([*command, "-c", source.name, "-o", "/dev/null"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    split = sys.argv.index("--")
    headers, command = sys.argv[1:split], sys.argv[split + 1 :]
    failed = False
    for header in headers:
        best = float("inf")
        for _ in range(PAIRS):
            base = seconds(command, BASE)
            best = min(best, seconds(command, f"#include <{header}>\n") / base)
            if best < LIMIT:
                break
        print(f"{header}: {best:.2f} times <thread>, <queue> and <future>; at most {LIMIT:.2f}")
        failed = failed or best >= LIMIT
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
