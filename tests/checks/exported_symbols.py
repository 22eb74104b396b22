#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the libraries export.

usage: exported_symbols.py runtime LIBWEFT_SO
       exported_symbols.py shim LIBWEFT_SHIM_SO CALLS_DEF [EXPORTS_MAP]

libweft.so may export what is in namespace weft and C names that begin with weft_. libweft-shim.so may export that
and, exactly, the calls that the table names (the first argument of each WEFT_CALL line); its version script, if it
has one, must name the same calls. No symbol may carry a version: interposition fails silently then. And neither may need
libraries beyond libc, the C++ library and each other: a preloaded library brings its own before all others. Nor may it construct the standard
streams (<iostream>): they are flushed at exit, which waits where the program has locked stdout.
Exits with 1 if anything differs.
"""
import pathlib
import re
import subprocess
import sys

OWN = re.compile(r"(?:(?:typeinfo|typeinfo name|vtable|VTT|guard variable|TLS (?:init|wrapper) function) for "
                 r"|(?:non-virtual |virtual )?thunk to )?weft::|weft_\w+$")
# Of the C++ library; no call of libc, and served whatever the table says.
CXX = {"__cxa_guard_acquire", "__cxa_guard_release", "__cxa_guard_abort"}
CALL = re.compile(r"^\s*WEFT_CALL\w*\(\s*(\w+)", re.MULTILINE)


def exports(library):
    """The dynamic symbols that a library defines, mangled, with their version if they have one."""
    run = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    return sorted(line.split()[-1] for line in run.stdout.splitlines() if line.split()[-2] != "A")


def demangle(names):
    run = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, run.stdout.splitlines()))


def foreign(names):
    """Those of the names that are not weft's own."""
    readable = demangle(names)
    return [name for name in names if not OWN.match(readable[name])]


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def table(path):
    """The calls of the table. A name that stands there twice is an offence of its own."""
    return CALL.findall(without_comments(pathlib.Path(path).read_text()))


def script_names(path):
    """The plain names that a version script makes global."""
    text = without_comments(pathlib.Path(path).read_text())
    text = re.sub(r'extern\s+"C\+\+"\s*\{.*?\}\s*;', "", text, flags=re.DOTALL)
    global_part = re.search(r"global:(.*?)(?:local:|\})", text, re.DOTALL)
    names = re.findall(r"[^\s;{}]+", global_part.group(1)) if global_part else []
    return [name for name in names if not name.startswith("weft_")]


NEEDED = re.compile(r"Shared library: \[(?!libweft|lib(?:a|t|ub)san|libstdc\+\+|libgcc_s|libc\.|libm\.|ld-linux)([^]]*)\]")


def constructs_streams(library):
    run = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True)
    return "_ZNSt8ios_base4InitC1Ev" in run.stdout


def strange_libraries(library):
    return NEEDED.findall(subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout)


def differences(what, found, wanted):
    return ([f"{name}: {what}, but not in the table" for name in sorted(found - wanted)]
            + [f"{name}: in the table, but not {what}" for name in sorted(wanted - found)])


def offences(kind, library, calls=None, script=None):
    names = exports(library)
    found = [f"{name}: has a version" for name in names if "@" in name]
    found += [f"{name}: is brought into every program" for name in strange_libraries(library)]
    if constructs_streams(library):
        found.append(f"{library}: constructs the standard streams")
    names = [name.split("@")[0] for name in names]
    if kind == "runtime":
        return found + [f"{name}: exported, but not weft's" for name in foreign(names)]
    listed = table(calls)
    found += [f"{name}: twice in the table" for name in sorted({n for n in listed if listed.count(n) > 1})]
    if not listed:
        found.append(f"{calls}: names no call")
    found += differences("exported", set(foreign(names)) - CXX, set(listed))
    if script and pathlib.Path(script).exists():
        found += differences("in the version script", set(script_names(script)) - CXX, set(listed))
    return found


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("runtime", "shim") or (sys.argv[1] == "shim") != (len(sys.argv) > 3):
        sys.exit(__doc__)
    found = offences(*sys.argv[1:])
    print("\n".join(found) if found else f"{sys.argv[2]}: ok, {len(exports(sys.argv[2]))} symbols")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
