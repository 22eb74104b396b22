#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A threaded server of Debian's, bare and under `weft run`, before many clients at once.

    servers.py --list | --list-few | --list-more | --list-other
    servers.py [--weft W] [--clients N] [--rounds R] [--repeats R] [--option O]... [--real-threads] CASE

Compared are what every client was answered, the exit status after SIGTERM and standard output. Under weft the server has one kernel
thread beside weft's own, its descriptors go back to what they were, and its memory stays within bounds.
"""
import argparse
import asyncio
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import load
from process import Running, free_port
import more_server_cases
import other_server_cases
import server_cases

CASES = server_cases.CASES | more_server_cases.CASES | other_server_cases.CASES
LISTS = {"list": server_cases.CASES, "list-few": ("python_files", "stunnel", "memcached"), "list-more": more_server_cases.CASES,
         "list-other": other_server_cases.CASES}
READY_S, CALM_S = 30, 20
RSS_FACTOR, RSS_SLACK_KIB = 1.5, 24 * 1024  # over bare: the program's own, and weft with its hub
WEFT_OWN = 8  # descriptors: what each kernel thread of weft's has
GROWTH_KIB = 4 * 1024  # in the second half of the rounds; in the first the allocator finds out what it needs


def certificate(place):
    files = [os.path.join(place, name) for name in ("cert.pem", "key.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-out", files[0],
                    "-keyout", files[1], "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    return files


class Trouble(Exception):
    pass


async def once(case, weft, clients, rounds, one_thread=False):
    """One life of the server: (answers of every round, exit status, output, figures)."""
    backend = await asyncio.start_server(load.serve_behind, "127.0.0.1", 0, backlog=1024, limit=1 << 20)
    with tempfile.TemporaryDirectory(prefix="weft-servers-") as place:
        given = case(place, free_port(), backend.sockets[0].getsockname()[1], certificate)
        command = [*weft, *given.command]
        with Running(command, place, given.stdin, given.environment) as server:
            try:
                return await serve(server, given, clients, rounds, one_thread)
            except Exception as error:
                raise Trouble(f"{' '.join(command)}: {error!r}\n{server.state()}") from error
            finally:
                backend.close()


async def serve(server, given, clients, rounds, one_thread):
    def one_kernel_thread():
        threads = server.threads()
        figures["threads"] = max(figures["threads"], sum(map(len, threads)))
        if one_thread and (strangers := server.strangers(given.real_threads)):
            raise Trouble(f"{len(strangers)} kernel threads of the program's: {sorted(set(strangers))}")

    figures = {"threads": 0}
    await server.accepts(given.port, READY_S)
    await load.load(given.talk, min(clients, 8), given.port, given.tls, one_by_one=given.one_by_one)
    await asyncio.sleep(0.1)
    base = server.descriptors()
    answers, sizes = [], []
    for _ in range(rounds):
        answers.append(await load.load(given.talk, clients, given.port, given.tls, one_kernel_thread, given.one_by_one))
        answers[-1] += await asyncio.gather(*(by_curl(arguments) for arguments in given.also))
        figures["descriptors left"] = await server.calm(base + given.kept + (WEFT_OWN if one_thread else 0), CALM_S)
        sizes.append(server.resident())
    figures["descriptors"] = base
    figures["peak KiB"] = server.peak()
    if rounds > 3 and sizes[-1] > sizes[rounds // 2 - 1] + GROWTH_KIB:
        raise Trouble(f"resident size grows by round, KiB: {sizes}")
    figures["cpu s"] = server.cpu()
    status, output = await server.stop()
    return answers, status, b"" if given.dated else output, figures


async def by_curl(arguments):
    client = await asyncio.create_subprocess_exec("curl", "-sS", "-4", "--max-time", "60", "--noproxy", "", *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await client.communicate()
    return [client.returncode, load.digest(out)] if client.returncode == 0 else f"curl {arguments}: {client.returncode}"


def strangest(bare, here):
    for i, (a, b) in enumerate(zip(bare, here)):
        if a != b:
            return f"client {i}: bare {a!r}\nunder weft {b!r}"
    return "none"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for which in LISTS:
        parser.add_argument(f"--{which}", action="store_true")
    parser.add_argument("--weft")
    parser.add_argument("--option", action="append", default=[], help="of weft run")
    parser.add_argument("--real-threads", action="store_true", help="its threads may be kernel threads")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1, help="loads on one server")
    parser.add_argument("--repeats", type=int, default=1, help="servers under weft, one after the other")
    parser.add_argument("case", nargs="?", choices=CASES)
    args = parser.parse_args()
    for which, names in LISTS.items():
        if getattr(args, which.replace("-", "_")):
            print("\n".join(names))
            return
    case = CASES[args.case]
    try:
        bare = asyncio.run(once(case, [], args.clients, 1))
        print("bare", bare[1:])
        bad = [answer for answer in bare[0][0] if isinstance(answer, str)]
        if bad:
            raise Trouble(f"bare: {bad[:3]}")
        if not args.weft:
            return
        for repeat in range(args.repeats):
            here = asyncio.run(once(case, [args.weft, "run", *args.option, "--"], args.clients, args.rounds, not args.real_threads))
            print("under weft", here[1:])
            for answers in here[0]:
                if answers != bare[0][0]:
                    raise Trouble(f"answers differ, repeat {repeat}: {strangest(bare[0][0], answers)}")
            for name, a, b in zip(("exit status", "output"), bare[1:3], here[1:3]):
                if a != b and (name != "output" or args.rounds == 1):  # some count what they have served
                    raise Trouble(f"{name} differs, repeat {repeat}: bare {a!r}, under weft {b!r}")
            bound = bare[3]["peak KiB"] * RSS_FACTOR + RSS_SLACK_KIB
            if here[3]["peak KiB"] > bound:
                raise Trouble(f"resident size {here[3]['peak KiB']} KiB, bound {bound:.0f}")
    except Trouble as trouble:
        sys.exit(f"FAIL: {trouble}")


if __name__ == "__main__":
    main()
