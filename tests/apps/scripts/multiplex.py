# SPDX-License-Identifier: Apache-2.0
"""select, poll, epoll through selectors, asyncio: the ways in which Python programs wait for many descriptors."""
import asyncio
import os
import select
import selectors
import socket
import threading
import time


def near(seconds, wanted):
    return wanted - 0.01 <= seconds <= wanted + 0.8


def timed(function, *arguments):
    start = time.monotonic()
    result = function(*arguments)
    return result, time.monotonic() - start


left, right = socket.socketpair()
result, seconds = timed(select.select, [left], [], [], 0.15)
print("select nothing", result, near(seconds, 0.15))
print("select writable", select.select([left], [left], [], 1)[1] == [left])
threading.Timer(0.1, right.send, (b"x",)).start()
result, seconds = timed(select.select, [left], [], [left], 5)
print("select readable", result[0] == [left], near(seconds, 0.1))
left.recv(1)

poller = select.poll()
poller.register(left, select.POLLIN)
result, seconds = timed(poller.poll, 150)
print("poll nothing", result, near(seconds, 0.15))
threading.Timer(0.1, right.send, (b"y",)).start()
result, seconds = timed(poller.poll)
print("poll readable", [event for _, event in result] == [select.POLLIN], near(seconds, 0.1))
left.recv(1)

for kind in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector):
    with kind() as selector:
        selector.register(left, selectors.EVENT_READ, "left")
        read_end, write_end = os.pipe()
        selector.register(read_end, selectors.EVENT_READ, "pipe")
        threading.Timer(0.05, os.write, (write_end, b"z")).start()
        result, seconds = timed(selector.select, 5)
        print(kind.__name__, [key.data for key, _ in result], near(seconds, 0.05))
        os.close(read_end)
        os.close(write_end)
right.close()
print("hang-up", poller.poll(1000)[0][1] & select.POLLHUP != 0, left.recv(10))
left.close()


async def server(reader, writer):
    writer.write(await reader.readexactly(5))
    await writer.drain()
    writer.close()


async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.1)
    writer.write(b"hello")
    data = await reader.read()
    writer.close()
    return data


async def main():
    listener = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    start = time.monotonic()
    answers = await asyncio.gather(*(client(port) for _ in range(50)))
    print("asyncio", set(answers), len(answers), time.monotonic() - start < 3)
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.1)
    except asyncio.TimeoutError:
        print("asyncio timeout")
    print("in a thread", await asyncio.to_thread(lambda: time.sleep(0.05) or "slept"))
    listener.close()


asyncio.run(main())
