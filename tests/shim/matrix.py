#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables that say which call was compared with the kernel's own in which situation.

    matrix.py --calls CALLS_DEF --readme README --summary README [--write] LINES...

LINES are the files that the bare runs of the probes leave (probe.py); that weft prints the same is what the probes' other tests
show. A label of a line is call.situation, or older: call/…/word, where a word below says the situation. The first README has all,
the second a line a family. Without --write it fails where they are not these, or a call of the table of calls has neither a line nor a
twin that has (ALIKE) nor a reason in REASONS.
"""
import argparse
import collections
import pathlib
import re
import sys

SITUATIONS = {
    "ready": r"ready|success|plain|some|value|event|timer|all|each|zero|again|set|get|one|known",
    "blocks": r"blocks|all_of_it|blocked|in_pieces|peek|wait(s|ed|ing)?|later|mark|sleeps|twice",
    "eof": r"eof|end_of_file|hung_up|end",
    "reset": r"reset|broken\w*|refused|closed|gone",
    "badfd": r"badfd|bad\w*|wrong\w*|invalid\w*|error\w*|fault",
    "nonblock": r"nonblock\w*|dont_wait|nowait|try\w*|poll(ed|s)?",
    "flags": r"flags?|flagged|waitall\w*|peek\w*|out_of_band\w*|sigpipe|nosignal|truncated|options?|kinds?|types?",
    "timeout": r"time(d|out|outs)\w*|expired|absolute|relative|past",
    "eintr": r"eintr|interrupt\w*|signal\w*",
    "restart": r"restart\w*",
    "closing": r"clos\w+|shut\w*|dup2|linger",
    "fork": r"fork\w*|child\w*|two_processes|inherited|shared",
    "two": r"two|both|several|many|concurrent\w*|threads?",
}
HEADINGS = {"blocks": "blocks then ready", "eof": "end of file", "reset": "peer gone", "badfd": "bad argument", "nonblock": "non-blocking",
            "flags": "flags and kinds", "timeout": "time limit", "eintr": "`EINTR`", "restart": "`SA_RESTART`",
            "closing": "closed meanwhile", "fork": "over fork", "two": "two at once"}
BEGIN, END = "<!-- fidelity: made by tests/shim/matrix.py -->", "<!-- end -->"

# Labels that do not begin with the call they are about.
ABOUT = {
    "shut_down_while_waiting": "accept.closing", "client_gone": "accept.reset", "two_processes": "accept.two", "unix_socket": "accept.ready",
    "success": "connect.ready", "refused": "connect.reset", "refused_nonblocking": "connect.nonblock", "already": "connect.nonblock",
    "nonblocking": "connect.nonblock", "interrupted/plain": "connect.eintr", "interrupted/restart": "connect.restart",
    "unix_sockets": "connect.ready", "udp_blocks": "recvfrom.blocks", "udp_refused": "recvfrom.reset", "udp_truncated": "recvfrom.flags",
    "unix_dgram/full": "sendto.blocks", "wakes_reader": "recv.closing", "wakes_writer": "send.closing", "wakes_poll": "poll.closing",
    "number_used_again": "close.closing", "closes": "close.ready", "accept_timeout": "accept.timeout", "connect_timeout": "connect.timeout",
    "fifo": "read.blocks", "terminal": "read.blocks", "event": "eventfd.blocks", "child_sleeps": "nanosleep.fork",
    "child_answers": "recv.fork", "child_is_killed": "waitpid.blocks", "fatal": "waitpid.eintr",
    "sockets": "socket.ready", "ways_to_set_it/fcntl": "fcntl.nonblock", "ways_to_set_it/ioctl": "ioctl.nonblock",
    "ways_to_set_it/dup": "dup.nonblock", "ways_to_set_it/pipe2": "pipe2.nonblock", "ways_to_set_it/socketpair": "socketpair.nonblock",
    "half_closed": "shutdown.closing", "wrong_shutdown": "shutdown.badfd", "data_before_the_end": "shutdown.eof",
}

# Where a file's labels name no call: whom they are about, by the label's first word (or by none of those).
MUTEX = "pthread_mutex_lock pthread_mutex_trylock pthread_mutex_timedlock pthread_mutex_clocklock pthread_mutex_unlock"
COND = "pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait pthread_cond_signal pthread_cond_broadcast"
RWLOCK = ("pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock pthread_rwlock_clockrdlock "
          "pthread_rwlock_clockwrlock pthread_rwlock_tryrdlock pthread_rwlock_trywrlock pthread_rwlock_unlock")
IN_FILE = {
    "wait": {"": "wait waitpid wait3 wait4 waitid"},
    "system": {"": "system"},
    "daemon": {"by_daemon": "daemon", "by_forkpty": "forkpty", "by_openpty": "openpty", "by_login_tty": "login_tty", "": "fork"},
    "spawn": {"spawned": "posix_spawn posix_spawnp", "bare_fork_goes_on": "_Fork", "clone_goes_on": "clone", "": "fork vfork"},
    "dns": {"addresses": "getaddrinfo", "failures": "getaddrinfo", "no_hints": "getaddrinfo", "names": "getnameinfo",
            "hosts": "gethostbyname gethostbyname2 gethostbyaddr",
            "hosts_reentrant": "gethostbyname_r gethostbyname2_r gethostbyaddr_r"},
    "epoll": {"changed": "epoll_ctl", "control_errors": "epoll_ctl", "": "epoll_wait"},
    "epoll_edge": {"": "epoll_wait"},
    "locks": {"mutex": MUTEX, "cond": COND, "rwlock": RWLOCK, "sem": "sem_wait sem_timedwait sem_clockwait sem_post",
              "barrier": "pthread_barrier_wait", "once": "pthread_once", "spin": "pthread_spin_lock",
              "c11": "mtx_lock mtx_timedlock mtx_trylock mtx_unlock cnd_wait cnd_timedwait cnd_signal cnd_broadcast call_once"},
}

# A name that is another's, but for this: the same policy serves both.
ALIKE = [(r"v64v2$", "v2"), (r"^_IO_", ""), (r"^__isoc99_", ""), (r"^__libc_", ""), (r"^_+", ""), (r"_chk$", ""), (r"64", ""), (r"_unlocked", ""), (r"_r$", ""),
         (r"^v", ""), (r"^v?([fs]?w?)(print|scan)f", r"f\2f"), (r"wc", "c"), (r"ws$", "s"), (r"^(get|put)w?char$", r"f\1c"), (r"^u", ""),
         (r"^puts$", "fputs"), (r"^gets$", "fgets"), (r"^flow$", "fgetc"), (r"x$", ""), (r"^(warn|verr|error_at_line)$", "err"), (r"v2$", "v")]

# Calls that no line is about, and why that is enough.
REASONS = {
    r"(get|set|end|fget|put)\w*(pw|gr|sp|sg|serv|proto|net|rpc|alias|mnt|netgr)\w*|initgroups|innetgr|ether_\w+|getpw":
        "one template serves all look-ups of names; those of each kind that programs use are compared",
    r"(open|close|v?sys)log|__v?syslog_chk": "as syslog",
    r"(_IO_)?(w?under|over|u|w?over|wu)flow|__(w?under|over|u|wu|wover)flow": "what inlined getc and putc call",
    r"(_IO_)?(f?(seek|tell|[gs]etpos)\w*|rewind|feof|ferror|clearerr|set\w*buf\w*|setlinebuf|fwide|f?try\w+|funlockfile|ftrylockfile)":
        "they wait only for the FILE's lock, or as fflush and fseek",
    r"(_IO_)?(flush_all\w*|fcloseall|_flushlbf|fclose|fopen|popen)|_flushlbf|fcloseall|fopen64|freopen64": "as fflush, fclose, fopen",
    r"psignal|psiginfo|fmtmsg|getpass|gets|\w*warn\w*|putpwent": "as perror and fgets",
    r"_exit|_Exit": "they end the process",
    r"setsockopt|pipe|fanotify_init|epoll_create1?|fcntl64|lockf64|sendfile64": "noted, or the twin of one that is compared",
    r"pthread_(kill|sigqueue|sigmask)|sig(procmask|pending|hold|relse|ignore|set|block|setmask|getmask)|raise|gsignal|\w*(set|long)jmp(_chk)?":
        "of a thread: the conformance programs",
    r"pthread_(create|detach|getattr_np|[sg]etname_np|[sg]etaffinity_np|[sg]etschedpar\w+|setschedprio|getcpuclockid|exit|(test)?cancel|setcancel\w+)|"
    r"thrd_(create|detach|exit)|gettid|t?g?kill|f?exec\w+|prctl|(__)?sched_\w+|[sg]etpriority|nice": "of a thread: the conformance programs",
    r"clock_get(time|res)|getrusage|timer_(create|delete)|dl(m?open|close|_iterate_phdr)|(fd)?opendir|closedir|(read|scan)dir\w*|getdents64|pkey_\w+|set(re|res|e)?[ug]id|setgroups":
        "served for threads only: the conformance programs",
    r"(__)?([gs]etpgid|getsid)|prlimit(64)?|process_vm_\w+|capget|sigqueue|(__)?[fl]?x?stat(at|x)?(64)?|e?access|euidaccess|faccessat|"
    r"(__)?(readlink(at)?|realpath)(_chk)?|canonicalize_file_name|glob(64)?|n?ftw(64)?|fts(64)?_\w+":
        "they know a green thread's number or its files: the conformance programs",
    r"pthread_\w+_destroy|pthread_\w*join\w*|thrd_join": "linked tests: join_test, locks_test",
}


def calls_of(path):
    """Family by call, in the order of the table."""
    return dict(re.findall(r"^WEFT_CALL\((\w+), (\w+)\)", pathlib.Path(path).read_text(), re.MULTILINE))


def situation_of(words):
    for word in reversed(words):
        for name, pattern in SITUATIONS.items():
            if re.fullmatch(pattern, re.sub(r"#\d+$", "", word)):
                return name
    return "ready"


def about(label, calls, file=""):
    """(calls, situation) of a label, or None."""
    if file in IN_FILE:
        words = re.split(r"[./]", label)
        first = re.sub(r"#\d+$", "", words[0])
        whom = IN_FILE[file].get(first) or (None if first in calls else IN_FILE[file].get(""))
        if whom:
            return whom.split(), situation_of(words)
    for prefix, meaning in ABOUT.items():
        if label == prefix or label.startswith((prefix + "/", prefix + "#")):
            call, situation = meaning.split(".")
            return [call], situation
    first, *words = re.split(r"[./]", label)
    first = re.sub(r"#\d+$", "", first)
    if first in calls:
        return [first], situation_of(words)
    # accept4_flags/ready, epoll_wait_edge/blocks: the longest call that it begins with
    for call in sorted(calls, key=len, reverse=True):
        if first.startswith(call + "_"):
            return [call], situation_of(words or [first.removeprefix(call + "_")])
    return None


def collect(files, calls):
    cells = collections.defaultdict(collections.Counter)
    lines = collections.Counter()
    for file in files:
        for line in pathlib.Path(file).read_text().splitlines():
            label, *_, ms = line.split(" ")[:6]
            lines[None] += 1
            if found := about(label, calls, pathlib.Path(file).stem):
                lines[calls[found[0][0]]] += 1
                for call in found[0]:
                    cells[call][found[1]] += 1
    return cells, lines


def table(calls, cells, lines):
    """Calls of a family with the same situations share a row."""
    rows = collections.OrderedDict()
    for call, family in calls.items():
        if call in cells:
            rows.setdefault((family, tuple(s for s in SITUATIONS if cells[call][s])), []).append(call)
    names = [HEADINGS.get(s, s) for s in SITUATIONS]
    text = [BEGIN, "", f"{lines[None]} lines of probes, each equal bare and preloaded; ● says that lines of that call are about that situation.", "",
            "| family | calls | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)]
    order = list(dict.fromkeys(calls.values()))
    for (family, found), members in sorted(rows.items(), key=lambda row: order.index(row[0][0])):
        marks = " | ".join("●" if s in found else "" for s in SITUATIONS)
        text.append(f"| {family} | `{' '.join(members)}` | {marks} |")
    return "\n".join(text + ["", END])


def summary(calls, cells, lines):
    rows = [BEGIN, "", f"{lines[None]} lines of plain C programs are equal bare and preloaded: result, errno, bytes, flags and time of every call; while a call "
            "waits a second fiber runs. Which call in which situation: [`tests/shim/README.md`](tests/shim/README.md).", "",
            "| family | names served | lines | situations compared |", "| --- | --- | --- | --- |"]
    for family in dict.fromkeys(calls.values()):
        members = [call for call in calls if calls[call] == family]
        found = [HEADINGS.get(s, s) for s in SITUATIONS if any(cells[call][s] for call in members if call in cells)]
        rows.append(f"| {family} | {len(members)} | {lines[family]} | {', '.join(found)} |")
    return "\n".join(rows + ["", END])


def twin_of(call, cells):
    """Whether a name is, but for its spelling, one that has lines."""
    name = call
    for pattern, replacement in ALIKE:
        name = re.sub(pattern, replacement, name)
        if name in cells:
            return True
    return False


def put(path, wanted, write):
    """Whether the table between the marks is this one; with `write` it is then."""
    readme = pathlib.Path(path)
    text = readme.read_text()
    start, end = text.find(BEGIN), text.find(END)
    if start < 0 or end < start:
        sys.exit(f"{path}: no place for the table ({BEGIN} … {END})")
    end += len(END)
    if write:
        readme.write_text(text[:start] + wanted + text[end:])
    elif re.sub(r"\d+", "n", text[start:end]) != re.sub(r"\d+", "n", wanted): # another kernel may add or spare a line
        print(wanted)
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", required=True)
    parser.add_argument("--readme", required=True)
    parser.add_argument("--summary", required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("lines", nargs="+")
    args = parser.parse_args()
    calls = calls_of(args.calls)
    cells, lines = collect(args.lines, calls)
    wrong = [path for path, wanted in ((args.readme, table(calls, cells, lines)), (args.summary, summary(calls, cells, lines)))
             if not put(path, wanted, args.write)]
    if wrong:
        sys.exit(f"FAIL: not the table of {' and '.join(wrong)}; `cmake --build BUILD --target matrix` writes them")
    missing = [call for call in calls if call not in cells and not twin_of(call, cells)
               and not any(re.fullmatch(pattern, call) for pattern in REASONS)]
    if missing:
        sys.exit(f"FAIL: no line of any probe is about: {' '.join(missing)}")
    print(f"{lines[None]} lines about {len(cells)} calls")


if __name__ == "__main__":
    main()
