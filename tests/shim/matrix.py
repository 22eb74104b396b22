#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of README.md that says which call was compared with the kernel's own in which situation.

    matrix.py --calls CALLS_DEF --readme README [--write] LINES...

LINES are the files that the bare runs of the probes leave (probe.py); that weft prints the same is what the probes' other tests
show. A label of a line is call.situation, or older: call/…/word, where a word below says the situation. Without --write it fails
where the README's table is not this one, or a call of the table of calls has no line and no reason in REASONS not to have one.
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
HEADINGS = {"blocks": "blocks, then ready", "eof": "end of file", "reset": "peer gone", "badfd": "bad argument", "nonblock": "non-blocking",
            "flags": "flags, kinds", "timeout": "time limit", "eintr": "`EINTR`", "restart": "`SA_RESTART`",
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

# Calls that no line is about, and why that is enough.
REASONS = {}


def calls_of(path):
    """Family by call, in the order of the table."""
    return dict(re.findall(r"^WEFT_CALL\((\w+), (\w+)\)", pathlib.Path(path).read_text(), re.MULTILINE))


def situation_of(words):
    for word in reversed(words):
        for name, pattern in SITUATIONS.items():
            if re.fullmatch(pattern, re.sub(r"#\d+$", "", word)):
                return name
    return "ready"


def about(label, calls):
    """(call, situation) of a label, or None."""
    for prefix, meaning in ABOUT.items():
        if label == prefix or label.startswith((prefix + "/", prefix + "#")):
            return tuple(meaning.split("."))
    first, *words = re.split(r"[./]", label)
    first = re.sub(r"#\d+$", "", first)
    if first in calls:
        return first, situation_of(words)
    # accept4_flags/ready, epoll_wait_edge/blocks: the longest call that it begins with
    for call in sorted(calls, key=len, reverse=True):
        if first.startswith(call + "_"):
            return call, situation_of(words or [first.removeprefix(call + "_")])
    return None


def collect(files, calls):
    cells = collections.defaultdict(collections.Counter)
    lines = 0
    for file in files:
        for line in pathlib.Path(file).read_text().splitlines():
            label, *_, ms = line.split(" ")[:6]
            lines += 1
            if found := about(label, calls):
                cells[found[0]][found[1]] += 1
    return cells, lines


def table(calls, cells, lines):
    """Calls of a family with the same situations share a row."""
    rows = collections.OrderedDict()
    for call, family in calls.items():
        if call in cells:
            rows.setdefault((family, tuple(s for s in SITUATIONS if cells[call][s])), []).append(call)
    names = [HEADINGS.get(s, s) for s in SITUATIONS]
    text = [BEGIN, "", f"{lines} lines of probes, each equal bare and preloaded; ● says that lines of that call are about that situation.", "",
            "| family | calls | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)]
    order = list(dict.fromkeys(calls.values()))
    for (family, found), members in sorted(rows.items(), key=lambda row: order.index(row[0][0])):
        marks = " | ".join("●" if s in found else "" for s in SITUATIONS)
        text.append(f"| {family} | `{' '.join(members)}` | {marks} |")
    return "\n".join(text + ["", END])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", required=True)
    parser.add_argument("--readme", required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("lines", nargs="+")
    args = parser.parse_args()
    calls = calls_of(args.calls)
    cells, lines = collect(args.lines, calls)
    readme = pathlib.Path(args.readme)
    text = readme.read_text()
    start, end = text.find(BEGIN), text.find(END)
    if start < 0 or end < start:
        sys.exit(f"{args.readme}: no place for the table ({BEGIN} … {END})")
    wanted = table(calls, cells, lines)
    if args.write:
        readme.write_text(text[:start] + wanted + text[end + len(END):])
    elif text[start:end + len(END)] != wanted:
        print(wanted)
        sys.exit(f"FAIL: the table of {args.readme} is not this one; tests/shim/matrix.py --write makes it")
    missing = [call for call in calls if call not in cells and call not in REASONS]
    if missing:
        sys.exit(f"FAIL: no line of any probe is about: {' '.join(missing)}")
    print(f"{lines} lines about {len(cells)} calls")


if __name__ == "__main__":
    main()
