# SPDX-License-Identifier: Apache-2.0
"""Clients of the servers under test, many at once from one event loop, and the HTTP server behind a proxy. They run without weft.

    asyncio.run(load(talk, clients=64, port=port)) -> what each client was answered, in the clients' order

A protocol is a coroutine `talk(connect, together, i)`: `connect()` opens another connection to the server, `together()` waits until every
client has come as far, so that they are all being served at once, and what it returns is client i's transcript.
"""
import asyncio
import hashlib
import ssl

LIMIT_S = 100


def body(size, seed):
    """The body that /body/SIZE/SEED stands for."""
    block = hashlib.sha256(str(seed).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def sha256_of(size, seed):
    return digest(body(size, seed))


async def read_response(reader, head=False):
    """(status, {header: value}, body) of an HTTP response."""
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    headers = {}
    while (line := (await reader.readuntil(b"\n")).strip()):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if head or status in (204, 304):
        return status, headers, b""
    if headers.get("transfer-encoding") == "chunked":
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        return status, headers, b"".join(pieces)
    if "content-length" in headers:
        return status, headers, await reader.readexactly(int(headers["content-length"]))
    return status, headers, await reader.read()


async def ask(streams, path, method="GET", data=b"", host="127.0.0.1", **headers):
    """One request on an open connection: (status, type of the content, length of the body, its hash)."""
    reader, writer = streams
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    if data:
        lines.append(f"Content-Length: {len(data)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
    await writer.drain()
    status, answered, payload = await read_response(reader, head=method == "HEAD")
    return status, answered.get("content-type"), len(payload), digest(payload)


async def leave(streams):
    streams[1].close()
    try:
        await streams[1].wait_closed()
    except (OSError, ssl.SSLError):
        pass  # the server closed first


class Meeting:
    """together(): nobody leaves before all have come."""

    def __init__(self, size):
        self.size, self.come, self.open = size, 0, asyncio.Event()
        self.at_once = None  # called when all are here

    async def together(self):
        self.come += 1
        if self.come == self.size:
            if self.at_once:
                await asyncio.to_thread(self.at_once)
            self.open.set()
        await self.open.wait()


def not_accepted(port):
    """How many connections wait at the server's listener."""
    with open("/proc/net/tcp") as table:
        for line in table:
            _, local, _, state, queues, *_ = line.split()
            if state == "0A" and local == f"0100007F:{port:04X}":
                return int(queues.split(":")[1], 16)
    return 0


async def load(talk, clients, port, tls=None, at_once=None, one_by_one=False):
    """`one_by_one`: a client comes when the one before has been accepted. The kernel drops who comes to a full queue, some for minutes."""
    meeting = Meeting(clients)
    meeting.at_once = at_once
    door = asyncio.Lock()

    async def connect(to=port):
        opening = asyncio.open_connection("127.0.0.1", to, ssl=tls, server_hostname="localhost" if tls else None, limit=1 << 20)
        if not one_by_one:
            return await opening
        async with door:
            streams = await opening
            while not_accepted(to):
                await asyncio.sleep(0.001)
            return streams

    async def client(i):
        try:
            return await talk(connect, meeting.together, i)
        except (OSError, EOFError, ssl.SSLError, ValueError) as error:
            meeting.open.set()  # nobody waits for one who failed
            return f"client {i}: {error!r}"

    async with asyncio.timeout(LIMIT_S):
        return await asyncio.gather(*(client(i) for i in range(clients)))


async def serve_behind(reader, writer):
    """What a proxy's clients are after: bodies by their path, and what was posted as its hash."""
    try:
        while line := await reader.readline():
            method, path, _ = line.decode().split()
            length = 0
            while (header := (await reader.readline()).strip().lower()):
                if header.startswith(b"content-length:"):
                    length = int(header[15:])
            data = await reader.readexactly(length)
            if method == "POST":
                answer, status = digest(data).encode(), 200
            elif path.startswith("/body/"):
                _, _, size, seed = path.split("/")
                answer, status = body(int(size), seed), 200
            else:
                answer, status = b"no such page\n", 404
            writer.write(f"HTTP/1.1 {status} \r\nContent-Type: test/{method.lower()}\r\nContent-Length: {len(answer)}\r\n\r\n".encode())
            if method != "HEAD":
                writer.write(answer)
            await writer.drain()
    except (OSError, EOFError, asyncio.CancelledError):
        pass
    finally:
        writer.close()
