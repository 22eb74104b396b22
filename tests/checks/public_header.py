#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks public headers: each compiles as the only include of a file, and so does its documented example.

usage: public_header.py HEADER... -- COMPILER FLAG...

HEADER is written as it is included, weft/x.hpp, and found in the -I folders of the flags. Its example is what
stands between @code and @endcode in a comment; there must be one, except in folders below weft/. #include lines of an
example are
moved to the top. An example without `int main` is put into a function, where the std::chrono literals are at hand.
Nothing is linked or run. Exits with 1 if a header fails.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

# What an example may take for granted; anything more it includes itself.
PRELUDE = "#include <chrono>\n#include <cstdio>\n#include <iostream>\n#include <string>\n#include <vector>\n"
FUNCTION = "[[maybe_unused]] static void example() {\n    using namespace std::chrono_literals;\n"
EXAMPLE = re.compile(r"@code(?:\{[^}]*\})?[^\n]*\n(.*?)@endcode", re.DOTALL)
COMMENT = re.compile(r"^\s*(?:///|//!|//|\*(?!\w)|)[ \t]?", re.MULTILINE)


def examples(text):
    """The examples of a header, without the marks of the comment that they stand in."""
    found = []
    for match in EXAMPLE.finditer(text):
        body = match.group(1)
        body = body[: body.rfind("\n") + 1]  # the last line holds the mark of @endcode
        found.append("\n".join(COMMENT.sub("", line, count=1) for line in body.splitlines()) + "\n")
    return found


def program(header, example):
    """A translation unit made of one example."""
    lines = example.splitlines(keepends=True)
    includes = "".join(line for line in lines if line.lstrip().startswith("#include"))
    rest = "".join(line for line in lines if not line.lstrip().startswith("#include"))
    if not re.search(r"\bint main\b", rest):
        rest = FUNCTION + rest + "}\n"
    return f"#include <{header}>\n{includes}{PRELUDE}{rest}"


def compile_text(command, text):
    """Compiles a text; the compiler's messages, empty if it liked it."""
    with tempfile.TemporaryDirectory(prefix="weft-header-") as folder:
        source = pathlib.Path(folder) / "unit.cpp"
        source.write_text(text)
        run = subprocess.run([*command, "-fsyntax-only", str(source)], capture_output=True, text=True, check=False)
        return run.stdout + run.stderr if run.returncode else ""


def find(header, command):
    """The file behind an #include, by the command's -I flags."""
    for flag in command:
        if flag.startswith("-I") and (pathlib.Path(flag[2:]) / header).is_file():
            return pathlib.Path(flag[2:]) / header
    return None


def left_out(path):
    """The headers beside weft.hpp that it does not include; it promises all."""
    text = path.read_text()
    names = sorted(other.name for other in path.parent.glob("*.hpp") if other != path)
    return [f"weft/weft.hpp: does not include weft/{name}" for name in names if f"#include <weft/{name}>" not in text]


def offences(header, command):
    path = find(header, command)
    if path is None:
        return [f"{header}: not found"]
    if header == "weft/weft.hpp" and left_out(path):
        return left_out(path)
    # Twice: the second time #pragma once must be there.
    alone = compile_text([*command, "-Werror"], f"#include <{header}>\n#include <{header}>\n")
    if alone:
        return [f"{header}: does not compile alone:\n{alone}"]
    found = examples(path.read_text())
    if not found and len(pathlib.PurePath(header).parts) == 2:
        return [f"{header}: has no example (@code ... @endcode)"]
    failed = []
    for number, example in enumerate(found, 1):
        text = program(header, example)
        # A fragment need not use all it shows.
        errors = compile_text([*command, "-Werror", "-Wno-unused", "-Wno-shadow"], text)
        if errors:
            failed.append(f"{header}: example {number} does not compile:\n{text}{errors}")
    return failed


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    split = sys.argv.index("--")
    headers, command = sys.argv[1:split], sys.argv[split + 1 :]
    found = [offence for header in headers for offence in offences(header, command)]
    print("\n".join(found) if found else f"{' '.join(headers)}: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
