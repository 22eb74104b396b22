#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what including a public header costs: under half a second more than <thread>, <queue> and <future>.

usage: header_cost.py HEADER... -- COMPILER FLAG...

Each is compiled to an object several times, turn by turn, and the fastest counts, in processor time. Where the machine is slow now, or
another one altogether, the limit grows with what the three take: REFERENCE seconds where it was set.
"""
import resource
import subprocess
import sys
import tempfile

LIMIT = 0.5
REFERENCE = 0.55
ROUNDS = 3
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
    texts = {None: BASE, **{h: f"#include <{h}>\n" for h in headers}}
    fastest = {name: min(seconds(command, text) for _ in range(1)) for name, text in texts.items()}
    for _ in range(ROUNDS - 1):
        limit = LIMIT * max(1.0, fastest[None] / REFERENCE)
        for name, text in texts.items():  # only what has not passed yet
            if name is None or fastest[name] - fastest[None] >= limit:
                fastest[name] = min(fastest[name], seconds(command, text))
    limit = LIMIT * max(1.0, fastest[None] / REFERENCE)
    failed = False
    print(f"<thread>, <queue>, <future>: {fastest[None]:.2f} s; limit {limit:.2f} s more")
    for header in headers:
        extra = fastest[header] - fastest[None]
        print(f"{header}: {extra:+.2f} s")
        failed = failed or extra >= limit
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
