#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what libc exports, what binaries import and what weft serves against each other.

usage: libc_names.py CALLS_DEF MAY_WAIT_DEF NEVER_WAITS [--open FAMILY,...] [--imports DIRECTORY...]

CALLS_DEF names the calls that weft serves or notes, MAY_WAIT_DEF all that may wait (with an excuse where one is left alone), NEVER_WAITS
the rest of libc. It is an offence if
- libc exports a function that none of them names (a newer libc than the one they were made from: it is only said);
- one that may wait is neither served nor excused, but for the families that --open names, which are still being written;
- a name that never waits stands in the list of those that may wait;
- a call of the table is none of libc's.
--imports adds how many ELF files in those directories import each name that is open. Exits with 1 if there is an offence.
"""
import argparse
import collections
import ctypes
import pathlib
import re
import subprocess
import sys

MADE_FROM = (2, 36)


def libc_path():
    with open("/proc/self/maps") as maps:
        for line in maps:
            if re.search(r"/libc\.so\.6$", line.rstrip()):
                return line.split()[-1]
    sys.exit("libc_names: no libc.so.6 here")


def libc_version():
    function = ctypes.CDLL(None).gnu_get_libc_version
    function.restype = ctypes.c_char_p
    return tuple(int(n) for n in function().decode().split(".")[:2])


def exports(path):
    """The functions that a program can import from libc."""
    run = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True)
    rows = [line.split() for line in run.stdout.splitlines()]
    return {row[2].partition("@")[0] for row in rows if len(row) == 3 and row[1] in "TWi" and not row[2].endswith("@GLIBC_PRIVATE")}


def named(path, macro):
    """What stands in a table: the first argument of each use of the macro, with the rest."""
    text = re.sub(r"^//.*$", "", pathlib.Path(path).read_text(), flags=re.MULTILINE)
    return dict(re.findall(rf"^{macro}\((\w+), (.*)\)$", text, re.MULTILINE))


def listed(path):
    text = pathlib.Path(path).read_text()
    return re.findall(r"\w+", re.sub(r"^(#.*|\[.*\])$", "", text, flags=re.MULTILINE))


def importers(directories, names):
    """How many files import each of the names."""
    counts = collections.Counter()
    files = [str(f) for d in directories for f in pathlib.Path(d).rglob("*") if f.is_file() and not f.is_symlink() and is_elf(f)]
    for i in range(0, len(files), 200):
        run = subprocess.run(["nm", "-D", "--undefined-only", *files[i:i + 200]], capture_output=True, text=True)
        counts.update(name for name in re.findall(r"^ +[Uw] (\w+)", run.stdout, re.MULTILINE) if name in names)
    return counts, len(files)


def is_elf(path):
    try:
        with open(path, "rb") as f:
            return f.read(4) == b"\x7fELF"
    except OSError:
        return False


def offences(calls, may_wait, never, libc, version, still_open=()):
    """What is wrong, and which names are open."""
    found = [f"{name}: twice in the list of those that never wait" for name, n in collections.Counter(never).items() if n > 1]
    never = set(never)
    found += [f"{name}: said to wait, and to never wait" for name in sorted(never & set(may_wait))]
    # Names of the implementation's own, which programs cannot import, may stand among those that may wait.
    found += [f"{name}: in the table of calls, but libc exports no such function" for name in sorted(set(calls) - libc)]
    unknown = sorted(libc - set(calls) - set(may_wait) - never)
    if version <= MADE_FROM:
        found += [f"{name}: exported by libc, and nobody says whether it waits" for name in unknown]
    open_names = []
    for name, rest in may_wait.items():
        family, _, excuse = rest.partition(", ")
        if name in calls or excuse.strip('"') or name not in libc:
            continue
        if family in still_open:
            open_names.append(name)
        else:
            found.append(f"{name}: may wait, and is neither served nor excused")
    return found, open_names, unknown if version > MADE_FROM else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls")
    parser.add_argument("may_wait")
    parser.add_argument("never_waits")
    parser.add_argument("--open", default="")
    parser.add_argument("--imports", nargs="*", default=[])
    args = parser.parse_args()
    path = libc_path()
    version = libc_version()
    calls = named(args.calls, "WEFT_CALL")
    may_wait = named(args.may_wait, "WEFT_MAY_WAIT")
    libc = exports(path)
    found, open_names, unknown = offences(calls, may_wait, listed(args.never_waits), libc, version, args.open.split(","))
    if args.imports:
        counts, files = importers(args.imports, set(open_names) | {line.split(":")[0] for line in found} | set(unknown))
        print(f"{files} files; of the names that are open they import: " + (" ".join(f"{n} ({c})" for n, c in counts.most_common()) or "none"))
    for what, names in (("still open", open_names), ("new in this libc", unknown)):
        if names:
            print(f"{what}: {' '.join(names)}")
    print("\n".join(found) if found else f"{path}: {len(libc)} functions, {len(calls)} served or noted")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
