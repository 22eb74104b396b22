#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`weft check`: what it says of programs that are made here, and of the system's. One case a run.

    check_test.py --list
    check_test.py --weft W --cc CC CASE
"""
import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

CASES = {}
args = None
room = None


def case(function):
    CASES[function.__name__] = function
    return function


def expect(what, condition):
    if not condition:
        sys.exit(f"FAIL: {what}")


def weft_check(*words, **options):
    return subprocess.run([args.weft, "check", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **options)


def verdict(program, status, *texts):
    """The exit status, and texts that the first line and the kind must have."""
    r = weft_check(program)
    expect(f"{program}: {r}", r.returncode == status and r.stderr == "")
    head = "\n".join(r.stdout.splitlines()[:2])
    said = {0: "can be served", 1: "cannot be served", 2: "cannot be read"}[status]
    for text in (said, *texts):
        expect(f"{program}: '{text}' in\n{r.stdout}", text in head)
    as_json = weft_check("--json", program)
    expect(as_json, as_json.returncode == status and json.loads(as_json.stdout)["status"] == status)
    return r.stdout


def report(program):
    r = weft_check("--json", program)
    return json.loads(r.stdout)


PLAIN = "#include <unistd.h>\nint main(void) { char c; return read(0, &c, 1) == 1 ? 0 : pause(); }\n"


def build(name, *flags, source=PLAIN):
    path = os.path.join(room, name)
    with open(path + ".c", "w") as f:
        f.write(source)
    subprocess.run([args.cc, "-O1", "-w", "-o", path, path + ".c", *flags], check=True, timeout=60)
    return path


def write(name, data, mode=0o755):
    path = os.path.join(room, name)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    return path


@case
def a_plain_program_is_served():
    program = build("plain")
    verdict(program, 0, "dynamic, x86-64, glibc")
    r = report(program)
    calls = {c["name"]: c for c in r["calls"]}
    expect(calls, calls["read"]["served"] and calls["read"]["family"] == "io" and calls["read"]["importers"] == ["plain"])
    expect(calls, "pause" in calls and "main" not in calls)
    expect(r, any(l["name"] == "libc.so.6" and l["path"].startswith("/") for l in r["libraries"]))
    expect(r, r["inline_system_calls"] == [] and not r["has_weft"])


@case
def static_programs_cannot_be():
    verdict(build("static", "-static"), 1, "static program", "no dynamic loader")
    verdict(build("static_pie", "-static-pie"), 1, "static program (pie)")


@case
def libraries_are_no_programs():
    verdict(build("library.so", "-shared", "-fPIC", source="int f(void) { return 1; }\n"), 1, "shared library")
    verdict(build("object.o", "-c"), 1, "object")


@case
def other_machines_cannot_be():
    header = bytearray(open(build("plain"), "rb").read())
    narrow = bytearray(header)
    narrow[4] = 1  # ELFCLASS32
    struct.pack_into("<H", narrow, 18, 3)
    verdict(write("i386", narrow), 1, "i386")
    struct.pack_into("<H", narrow, 18, 62)
    verdict(write("x32", narrow), 1, "x32")
    struct.pack_into("<H", header, 18, 183)
    verdict(write("arm", header), 1, "aarch64")


@case
def privileged_programs_cannot_be():
    program = build("setuid")
    os.chmod(program, 0o4755)
    verdict(program, 1, "setuid", "LD_PRELOAD")
    os.chmod(program, 0o2755)
    verdict(program, 1, "setgid")
    os.chmod(program, 0o755)
    verdict(program, 0)
    try:  # cap_net_raw=ep
        os.setxattr(program, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
    except OSError:
        return  # only root may
    verdict(program, 1, "file capabilities")


@case
def other_loaders_cannot_be():
    verdict(build("musl", "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"), 1, "musl", "/lib/ld-musl-x86_64.so.1")
    verdict(build("other", "-Wl,--dynamic-linker=/opt/ld-other.so"), 1, "another loader", "/opt/ld-other.so")


@case
def go_programs_cannot_be():
    program = build("go")
    note = write("note", b"\4\0\0\0\4\0\0\0\4\0\0\0Go\0\0abcd")
    for section in (".note.go.buildid", ".gopclntab"):
        subprocess.run(["objcopy", "--add-section", f"{section}={note}", program, program + "_"], check=True, timeout=60)
        verdict(program + "_", 1, "Go program")


INLINE = """
#include <unistd.h>
__attribute__((noinline)) long waits_inline(void) {
    long r = 34;
    __asm__ volatile("mov $34, %%eax\\n\\tsyscall" : "=a"(r) : : "rcx", "r11", "memory");
    return r;
}
__attribute__((noinline)) int no_call(void) { volatile int x = 0x050f050f; return x; }
int main(int c, char** v) { return c > 5 ? (int)waits_inline() : no_call() == 3; }
"""


@case
def system_calls_by_instruction_are_found():
    r = report(build("inline", source=INLINE))
    expect(r, len(r["inline_system_calls"]) == 1 and r["inline_system_calls"][0]["object"] == "inline")
    calls = r["inline_system_calls"][0]["calls"]
    expect(calls, len(calls) == 1 and calls[0]["function"] == "waits_inline" and calls[0]["number"] == 34)
    expect("text", "inline: 1, in waits_inline" in verdict(os.path.join(room, "inline"), 0))


@case
def libraries_are_looked_into():
    os.mkdir(os.path.join(room, "lib"))
    build("lib/libdeep.so", "-shared", "-fPIC", source="#include <sys/epoll.h>\nint deep(void) { return epoll_wait(1, 0, 0, 0); }\n")
    build("lib/libouter.so", "-shared", "-fPIC", "-Wl,-rpath,$ORIGIN", f"-L{room}/lib", "-ldeep",
          source="int deep(void);\nint outer(void) { return deep(); }\n")
    program = build("user", f"-L{room}/lib", "-louter", f"-Wl,-rpath,$ORIGIN/lib,-rpath-link,{room}/lib",
                    source="int outer(void);\nint main(void) { return outer(); }\n")
    r = report(program)
    calls = {c["name"]: c for c in r["calls"]}
    expect(r, calls["epoll_wait"]["importers"] == ["libdeep.so"])
    os.remove(os.path.join(room, "lib/libdeep.so"))
    r = report(program)
    expect(r, r["status"] == 0 and any("not found: libdeep.so" in n for n in r["notes"]))


@case
def state_of_kernel_threads_is_noted():
    r = report(build("state", source="#define _GNU_SOURCE\n#include <sched.h>\nint main(void) { return setns(1, 0); }\n"))
    expect(r, any(n.startswith("setns") and "whole kernel thread" in n for n in r["notes"]))
    r = report(build("kept", source="#define _GNU_SOURCE\n#include <sched.h>\nint main(void) { struct sched_param p = {0}; return sched_setparam(0, &p); }\n"))
    expect(r, any(n.startswith("sched_setparam") and "kept" in n for n in r["notes"]))


@case
def scripts_are_followed():
    for text in (b"#!/bin/sh\nexit\n", b"#! /usr/bin/env sh\n", b"#!/usr/bin/env -S sh -e\n"):
        r = report(write("script", text))
        expect(r, r["status"] == 0 and r["program"].endswith("/sh") and "a script" in r["notes"][0])
    static = build("static", "-static")
    verdict(write("for_static", f"#!{static}\n".encode()), 1, "static")
    verdict(write("loop", f"#!{room}/loop\n".encode()), 1, "without end")
    verdict(write("empty_line", b"#!\n"), 1, "names no interpreter")
    verdict(write("lost", b"#!/no/such/interpreter\n"), 2, "No such file")


@case
def what_is_no_program_is_told():
    verdict(write("text", b"hello\n"), 1, "neither an ELF file nor a script")
    verdict(write("empty", b""), 1, "neither")
    verdict("/no/such/file", 2, "No such file")
    verdict("/", 2, "Is a directory")
    verdict("/dev/null", 2)


@case
def damaged_files_do_no_harm():
    whole = open(build("plain"), "rb").read()
    for size in (4, 16, 20, 63, 64, 100, 1000, len(whole) // 2, len(whole) - 1):
        r = weft_check(write("cut", whole[:size]))
        expect(f"{size}: {r}", r.returncode in (0, 1))
    for at in range(16, 64):
        broken = bytearray(whole)
        broken[at] = 0xff
        r = weft_check(write("broken", broken))
        expect(f"{at}: {r}", r.returncode in (0, 1))


@case
def the_systems_programs():
    for name in ("python3", "curl"):
        path = os.path.realpath(shutil.which(name, path="/usr/bin:/bin"))
        r = report(path)
        calls = {c["name"]: c for c in r["calls"]}
        expect(r, r["status"] == 0 and calls["poll"]["served"] and len(r["libraries"]) > 2)
    found = weft_check("curl", env={"PATH": "/nowhere:/usr/bin"})
    expect(found, found.returncode == 0 and found.stdout.startswith("curl: can be served"))


@case
def a_process_is_looked_at():
    for words, served in ((["/bin/cat"], False), ([args.weft, "run", "/bin/cat"], True)):
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
            try:
                p.stdin.write(b"ready\n")
                p.stdin.flush()
                expect(words, p.stdout.readline() == b"ready\n")
                r = report(str(p.pid))
                expect(r, r["status"] == 0 and r["has_weft"] == served and r["pid"] == p.pid)
                expect(r, any(l["name"].startswith("libc.so") for l in r["libraries"]) and any(c["name"] == "read" for c in r["calls"]))
                text = weft_check(str(p.pid)).stdout.splitlines()[0]
                expect(text, ("is served" in text) == served)
            finally:
                p.stdin.close()
                p.kill()
    r = weft_check("4194305")
    expect(r, r.returncode == 2 and "no such process" in r.stdout)


@case
def names_that_are_words_of_weft():
    program = build("run")
    r = weft_check("run", cwd=room)
    expect(r, r.returncode == 0 and r.stdout.startswith("run: can be served"))
    expect("wrong use", weft_check().returncode == 125)


def main():
    global args, room
    parser = argparse.ArgumentParser()
    parser.add_argument("case", nargs="?")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--weft")
    parser.add_argument("--cc")
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
        return
    with tempfile.TemporaryDirectory() as room:
        CASES[args.case]()


if __name__ == "__main__":
    main()
