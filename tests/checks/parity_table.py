#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the README's table of what people know from elsewhere: each row links what it is here, and a test case that exists.

usage: parity_table.py REPOSITORY

A row's third column links at least one header or folder, its fourth at least one test as [`case`](file). All cases of tests/unit/parity_*_test.cpp
must be in the table, so that none is left behind when a row changes.
"""
import pathlib
import re
import sys

BEGIN = "<!-- parity -->"
END = "<!-- end of parity -->"
LINK = re.compile(r"\[`([^`]+)`\]\(([^)]+)\)")


def has_case(path, name):
    text = path.read_text()
    if path.suffix == ".py":
        return re.search(rf"^\s*(def|class) {re.escape(name)}\b", text, re.MULTILINE) is not None
    return f'TEST_CASE("{name}"' in text


def offences(root):
    lines = (root / "README.md").read_text().split("\n")
    try:
        rows = lines[lines.index(BEGIN) + 1 : lines.index(END)]
    except ValueError:
        yield f"README.md: no table between {BEGIN} and {END}"
        return
    rows = [line for line in rows if line.startswith("|")][2:]
    if not rows:
        yield "README.md: the table has no rows"
    named = set()
    for row in rows:
        columns = [c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]]
        if len(columns) != 4:
            yield f"not four columns: {row}"
            continue
        for what, column in (("place", columns[2]), ("test", columns[3])):
            links = LINK.findall(column)
            if not links:
                yield f"no {what}: {columns[0]}"
            for name, target in links:
                if not (root / target).exists():
                    yield f"no such file: {target}"
                elif what == "test":
                    named.add(name)
                    if not has_case(root / target, name):
                        yield f"no such case: {name} in {target}"
    for path in sorted((root / "tests" / "unit").glob("parity_*_test.cpp")):
        for name in re.findall(r'TEST_CASE\("([^"]+)"', path.read_text()):
            if name not in named:
                yield f"not in the table: {name} of {path.name}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = list(offences(pathlib.Path(sys.argv[1])))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
