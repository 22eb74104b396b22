# SPDX-License-Identifier: Apache-2.0
"""What the clients in load.py say to a server, one coroutine a protocol."""
import asyncio
import struct

from load import ask, body, digest, leave, read_response, sha256_of

SMALL, BIG = 100, 150_000


def http(*paths, method="GET"):
    """Each client asks for every path on one connection; they are all connected when the second is asked for."""
    async def talk(connect, together, i):
        streams = await connect()
        said = []
        for k, path in enumerate(paths):
            said.append(await ask(streams, path.format(i=i), method))
            if k == 0:
                await together()
        await leave(streams)
        return said
    return talk


def http_posts(path, rounds=2):
    async def talk(connect, together, i):
        streams = await connect()
        said = []
        for k in range(rounds):
            said.append(await ask(streams, path, "POST", body(20_000 + 100 * i, f"{i}.{k}")))
            await together()
        await leave(streams)
        return said
    return talk


async def behind(connect, together, i, prefix="", opened=None):
    """Bodies from the server behind, checked against what they must be."""
    streams = opened or await connect()
    said = []
    for k, size in enumerate((SMALL, BIG)):
        said.append(await ask(streams, f"{prefix}/body/{size}/{i}.{k}"))
        if said[-1][3] != sha256_of(size, f"{i}.{k}"):
            raise ValueError(f"body of {said[-1]}")
        await together()
    said.append(await ask(streams, f"{prefix}/", "POST", body(30_000, i)))
    if said[-1][3] != digest(digest(body(30_000, i)).encode()):
        raise ValueError(f"answer to a POST {said[-1]}")
    said.append(await ask(streams, f"{prefix}/missing"))
    await leave(streams)
    return said


def plain_proxy(target):
    """A request a connection, as such proxies close after one; then a tunnel by CONNECT."""
    async def talk(connect, together, i):
        said = []
        for k, size in enumerate((SMALL, BIG)):
            streams = await connect()
            await together()
            said.append(await ask(streams, f"http://127.0.0.1:{target}/body/{size}/{i}.{k}", Connection="close"))
            if said[-1][3] != sha256_of(size, f"{i}.{k}"):
                raise ValueError(f"body of {said[-1]}")
            await leave(streams)
        streams = await connect()
        streams[1].write(f"CONNECT 127.0.0.1:{target} HTTP/1.1\r\nHost: 127.0.0.1:{target}\r\n\r\n".encode())
        said.append((await read_response(streams[0], head=True))[0])
        return said + await behind(connect, together, i, opened=streams)
    return talk


def socks(target):
    async def talk(connect, together, i):
        reader, writer = await connect()
        writer.write(b"\x05\x01\x00")
        hello = await reader.readexactly(2)
        name = b"localhost" if i % 8 == 0 else None
        host = b"\x03" + bytes([len(name)]) + name if name else b"\x01\x7f\x00\x00\x01"
        writer.write(b"\x05\x01\x00" + host + struct.pack("!H", target))
        granted = await reader.readexactly(10)
        return [hello, granted[:2], *await behind(connect, together, i, opened=(reader, writer))]
    return talk


async def memcached(connect, together, i):
    streams = reader, writer = await connect()
    said = []

    async def say(command, data=None):
        writer.write(command.encode() + b"\r\n" + (data + b"\r\n" if data is not None else b""))
        await writer.drain()
        said.append(await reader.readuntil(b"\r\n"))

    async def get(*keys):
        writer.write(b"get " + b" ".join(keys) + b"\r\n")
        while (line := await reader.readuntil(b"\r\n")) != b"END\r\n":
            value = (await reader.readexactly(int(line.split()[3]) + 2))[:-2]
            said.append((line.split()[1], digest(value)))
        said.append(line)

    for k, size in enumerate((1, 1000, BIG)):
        await say(f"set {i}.{k} {k} 0 {size}", body(size, f"{i}.{k}"))
    await together()
    neighbour = i ^ 1
    await get(*(f"{i}.{k}".encode() for k in range(3)), b"missing")
    await get(f"{neighbour}.1".encode())
    await say(f"set {i}.n 0 0 1", b"0")
    for _ in range(20):
        await say(f"incr {i}.n 3")
    await say(f"add {i}.n 0 0 1", b"x")
    await say(f"append {i}.0 0 0 3", b"end")
    await get(f"{i}.0".encode())
    await say(f"delete {i}.2")
    await say(f"delete {i}.2")
    await say("incr nobody 1")
    await say("nonsense")
    await leave(streams)
    return said


async def echo(connect, together, i):
    streams = reader, writer = await connect()
    said = []
    for k, size in enumerate((1, 1000, BIG)):
        sent = body(size, f"{i}.{k}")
        writer.write(sent)
        said.append(digest(await reader.readexactly(size)) == digest(sent))
        await together()
    await leave(streams)
    return said


def http_once(*paths):
    """As http, for servers that close after an answer: a connection for each path."""
    async def talk(connect, together, i):
        said = []
        for path in paths:
            streams = await connect()
            await together()
            said.append(await ask(streams, path.format(i=i), Connection="close"))
            await leave(streams)
        return said
    return talk


def dns(*names):
    """By TCP, address and text records."""
    async def talk(connect, together, i):
        streams = reader, writer = await connect()
        said = []
        for k, name in enumerate(names):
            for kind in (1, 16):
                question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
                asked = struct.pack("!HHHHHH", i, 0, 1, 0, 0, 0) + question
                writer.write(struct.pack("!H", len(asked)) + asked)
                said.append((await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])).hex())
            await together()
        await leave(streams)
        return said
    return talk


async def redis(connect, together, i):
    streams = reader, writer = await connect()

    async def say(*words):
        writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        await writer.drain()
        line = await reader.readuntil(b"\r\n")
        if line[:1] == b"$" and line[1:2] != b"-":
            return line, digest(await reader.readexactly(int(line[1:]) + 2))
        return line

    key = f"key{i}".encode()
    said = [await say(b"SET", key, body(BIG, i))]
    await together()
    said += [await say(b"GET", key), await say(b"STRLEN", key), await say(b"GET", b"missing" + key), await say(b"NONSENSE")]
    for n in range(20):
        said.append(await say(b"RPUSH", b"list" + key, b"%d" % n))
    said += [await say(b"LLEN", b"list" + key), await say(b"DEL", b"list" + key)]
    await leave(streams)
    return said


async def mariadb(connect, together, i):
    """By Debian's own client, a process a connection."""
    reader, writer = await connect()
    port = writer.get_extra_info("peername")[1]
    writer.close()
    client = await asyncio.create_subprocess_exec("mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", "root", "-B", "-N", "-n", "-f",
                                                  stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    client.stdin.write(b"create database if not exists d; select 'here';\n")
    while await client.stdout.readline() != b"here\n":
        pass
    await together()
    statements = f"""drop table if exists d.t{i}; create table d.t{i} (k int primary key, v longtext) engine=innodb;
insert into d.t{i} values (1, repeat('x{i}', 10000)), (2, 'two'); select k, length(v), md5(v) from d.t{i} order by k;
start transaction; update d.t{i} set v = 'other' where k = 2; select v from d.t{i} where k = 2; rollback; select v from d.t{i} where k = 2;
select sleep(0.05), get_lock('l', 20), release_lock('l'); select * from d.missing; drop table d.t{i};
"""
    out, _ = await client.communicate(statements.encode())
    return [out, client.returncode]
