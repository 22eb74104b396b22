#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A threaded program of Debian's that does its work and ends, bare and under `weft run`.

    batch.py --list
    batch.py [--weft W] [--option O]... [--real-threads] CASE

Compared are exit status, output and the files written; under weft it has one kernel thread beside weft's own, watched all the while.
"""
import argparse
import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import load
from process import Running, free_port
from server_cases import program

LIMIT_S = 120
CASES = {}


def case(function):
    """Registers a coroutine of (directory, run): `run(command)` is awaited under test, `run(command, bare=True)` never under weft."""
    CASES[function.__name__] = function
    return function


def text(lines):
    return "".join(f"line {n} {load.digest(str(n // 3).encode())[: n % 60]}\n" for n in range(lines)).encode()


def read(place, name):
    with open(os.path.join(place, name), "rb") as file:
        return file.read()


def write(place, name, data):
    with open(os.path.join(place, name), "wb") as file:
        file.write(data)


async def packed(place, run, pack, unpack, suffix, others):
    """The same bytes bare and under weft, unpacked to what they were by it and by another program."""
    data = text(120_000)
    write(place, "input", data)
    said = [await run([*pack, "input"]), load.digest(read(place, "input" + suffix))]
    os.rename(os.path.join(place, "input"), os.path.join(place, "original"))
    said.append(await run([*unpack, "input" + suffix]))
    for command in ([*unpack, "-c", "input" + suffix], [*others, "-dc", "input" + suffix]):
        said.append(await run(command, bare=command[0] == others[0]))
        if said[-1][1] != load.digest(data):
            raise ValueError(f"{command}: other bytes: {said[-1]}")
    if read(place, "input") != data:
        raise ValueError("unpacked to other bytes")
    with open(os.path.join(place, "input" + suffix), "r+b") as file:
        file.seek(50_000)
        file.write(b"broken")
    return [*said, (await run([*unpack, "-t", "input" + suffix]))[0]]


@case
async def xz(place, run):
    return await packed(place, run, ["xz", "-T4", "-1", "--block-size=1MiB", "-k"], ["xz", "-d", "-T4", "-k"], ".xz", ["xz"])


@case
async def zstd(place, run):
    return await packed(place, run, ["zstd", "-q", "-T4", "-9", "-B512K", "-k"], ["zstd", "-q", "-d"], ".zst", ["zstd"])


@case
async def pigz(place, run):
    return await packed(place, run, ["pigz", "-n", "-p", "4", "-k"], ["pigz", "-d", "-p", "4", "-k"], ".gz", ["gzip"])


@case
async def pbzip2(place, run):
    return await packed(place, run, ["pbzip2", "-q", "-p4", "-1", "-k"], ["pbzip2", "-q", "-p4", "-d", "-k"], ".bz2", ["bzip2"])


@case
async def plzip(place, run):
    return await packed(place, run, ["plzip", "-q", "-n4", "-0", "-B1MiB", "-k"], ["plzip", "-q", "-n4", "-d", "-k"], ".lz", ["plzip"])


def names_of_this_machine():
    """Beside localhost, which curl knows without asking."""
    for name in ("ip6-localhost", "ip6-loopback", socket.gethostname()):
        with contextlib.suppress(OSError):
            socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
            yield name


@case
async def curl_names(place, run):
    """Names are looked up by curl's own threads, transfers run in parallel; by SOCKS and one after the other too."""
    listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    async with await asyncio.start_server(load.serve_behind, sock=listener, limit=1 << 20):
        port = listener.getsockname()[1]
        names = ["localhost", *names_of_this_machine()]
        said = []
        for count in (64, 400):
            urls = [word for i in range(count)
                    for word in ("-o", f"out{i}", f"http://{names[i % len(names)]}:{port}/body/{1000 + 100 * i}/{i}")]
            said.append(await run(["curl", "-sS", "--noproxy", "*", "-Z", "--parallel-immediate", "--parallel-max", "300", *urls]))
            for i in range(count):
                if load.digest(read(place, f"out{i}")) != load.sha256_of(1000 + 100 * i, i):
                    raise ValueError(f"file {i} of {count} is wrong")
        said.append(await run(["curl", "-sS", "--noproxy", "*", f"http://localhost:{port}/body/5000/x", f"http://localhost:{port}/missing"]))
        said.append(await run(["curl", "-sS", "--noproxy", "*", "-Z", *(f"http://no-such-host{i}.invalid/" for i in range(5))]))
        return said


@case
async def redis_benchmark(place, run):
    """As a client of a server that runs bare, which counts what it is asked."""
    port = free_port()
    with Running([program("redis-server"), "--port", str(port), "--save", "", "--bind", "127.0.0.1"], place) as server:
        await server.accepts(port, 30)
        said = []
        for clients in (64, 400):
            status, _ = await run(["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "--threads", "4", "-c", str(clients), "-n", "8000",
                                   "-t", "set,get,incr,lpush,mset", "--csv", "-d", "200"])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"*2\r\n$4\r\nINFO\r\n$12\r\ncommandstats\r\n")
            size = int((await reader.readline())[1:])
            lines = (await reader.readexactly(size)).decode().split("\r\n")
            writer.close()
            counted = sorted((line.split(":")[0], line.split("calls=")[1].split(",")[0], line.split("failed_calls=")[1])
                             for line in lines if line.startswith("cmdstat_") and not line.startswith(("cmdstat_info", "cmdstat_config")))
            said.append((status, counted))
        return said


async def run_one(place, command, weft, one_thread, figures):
    """(exit status, hash of standard output) of a command."""
    command = [program(command[0]), *command[1:]]
    deadline = time.monotonic() + LIMIT_S
    with Running([*weft, *command], place) as process:
        most = 0
        while process.process.poll() is None:
            most = max(most, sum(map(len, process.threads())))
            if one_thread and weft and (strangers := process.strangers()):
                raise ValueError(f"kernel threads of the program's: {strangers}")
            if time.monotonic() > deadline:
                raise ValueError(f"no end within {LIMIT_S} s\n{process.state()}")
            await asyncio.sleep(0.01)
        figures.append((os.path.basename(command[0]), most))
        process.out.seek(0)
        out = process.out.read()
        if process.process.returncode < 0:
            raise ValueError(f"died: {process.state()}")
        return process.process.returncode, load.digest(out)


async def once(function, weft, one_thread):
    figures = []
    with tempfile.TemporaryDirectory(prefix="weft-batch-") as place:
        async def run(command, bare=False):
            try:
                return await run_one(place, command, [] if bare else weft, one_thread, figures)
            except ValueError as error:
                raise ValueError(f"{command[:6]}: {error}") from error
        start = time.monotonic()
        said = await function(place, run)
        print("under weft" if weft else "bare", f"{time.monotonic() - start:.2f} s, kernel threads", figures, said, flush=True)
        return said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--weft")
    parser.add_argument("--option", action="append", default=[], help="of weft run")
    parser.add_argument("--real-threads", action="store_true", help="its threads may be kernel threads")
    parser.add_argument("case", nargs="?", choices=CASES)
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
        return
    try:
        bare = asyncio.run(once(CASES[args.case], [], False))
        if args.weft and (here := asyncio.run(once(CASES[args.case], [args.weft, "run", *args.option, "--"], not args.real_threads))) != bare:
            sys.exit(f"FAIL: bare {bare}\nunder weft {here}")
    except ValueError as error:
        sys.exit(f"FAIL: {error}")


if __name__ == "__main__":
    main()
