#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks who includes whom: include <- core <- sync <- work, net <- inspect, and the shim above all of them.

usage: include_direction.py SOURCE_ROOT
Says each offence as file:line and exits with 1 if there is one.
"""
import pathlib
import re
import sys

# What each room may see besides itself. work and net do not see each other; nothing in the runtime sees the shim.
SEES = {
    "include": set(),
    "core": {"include"},
    "sync": {"include", "core"},
    "work": {"include", "core", "sync"},
    "net": {"include", "core", "sync"},
    "inspect": {"include", "core", "sync", "work", "net"},
    "shim": {"include", "core", "sync", "work", "net", "inspect"},
}

# Other people's headers that a single module may know.
KEEPERS = {
    re.compile(r"ev(\+\+)?\.h$"): "runtime/core/watcher",
    re.compile(r"boost/context/"): "runtime/core/context",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SUFFIXES = {".hpp", ".cpp", ".h", ".c", ".S", ".def", ".in"}


def room_of(path):
    """The room of a path relative to the root, or None outside of include/, runtime/ and shim/."""
    parts = path.parts
    if parts[0] in ("include", "shim"):
        return parts[0]
    if parts[0] == "runtime" and len(parts) > 2:
        return parts[1]
    return None


def resolve(root, file, kind, name):
    """The file of this tree that an #include names, relative to the root; None for everyone else's headers."""
    folders = [file.parent] if kind == '"' else []
    if file.parts[0] == "shim":
        folders += [pathlib.Path("shim")]
    folders += [pathlib.Path("runtime"), pathlib.Path("shim"), pathlib.Path("include")]
    for folder in folders:
        found = (root / folder / name).resolve()
        if found.is_file() and found.is_relative_to(root):
            return found.relative_to(root)
    if name.startswith("weft/"):
        return pathlib.Path("include") / name  # version.hpp is generated
    return None


def offences(root):
    root = pathlib.Path(root).resolve()
    for top in ("include", "runtime", "shim"):
        for path in sorted((root / top).rglob("*")):
            file = path.relative_to(root)
            room = room_of(file)
            if path.suffix not in SUFFIXES or room is None or room == "cmake":
                continue
            if room not in SEES:
                yield f"{file}:1: is in no room that this check knows: {room}"
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                kind, name = match.groups()
                for pattern, keeper in KEEPERS.items():
                    if pattern.match(name) and str(file.with_suffix("")) != keeper:
                        yield f"{file}:{number}: only {keeper}.{{hpp,cpp}} may include {name}"
                target = resolve(root, file, kind, name)
                seen = room_of(target) if target else None
                if seen and seen != room and seen not in SEES[room]:
                    yield f"{file}:{number}: {room} must not see {seen} ({name})"
                if target is None and kind == '"':
                    yield f"{file}:{number}: no such file in this tree: {name}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = list(offences(sys.argv[1]))
    print("\n".join(found) if found else "include direction: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
