# SPDX-License-Identifier: Apache-2.0
"""Python's sockets: threads that talk, timeouts, non-blocking mode, datagrams, socketpair, sendfile."""
import errno
import socket
import tempfile
import threading
import time


def near(seconds, wanted):
    return wanted - 0.01 <= seconds <= wanted + 0.8


def echo(listener):
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


listener = socket.create_server(("127.0.0.1", 0))
thread = threading.Thread(target=echo, args=(listener,))
thread.start()
with socket.create_connection(listener.getsockname(), timeout=5) as client:
    payload = bytes(range(256)) * 4000
    sender = threading.Thread(target=client.sendall, args=(payload,))
    sender.start()
    got = b""
    while len(got) < len(payload):
        got += client.recv(100000)
    sender.join()
    print("echo", got == payload)
thread.join()

client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
print("modes", client.gettimeout(), client.getblocking(), server.getblocking())
client.settimeout(0.2)
start = time.monotonic()
try:
    client.recv(10)
except TimeoutError as error:
    print("settimeout", error, near(time.monotonic() - start, 0.2))
client.setblocking(False)
try:
    client.recv(10)
except BlockingIOError as error:
    print("setblocking", errno.errorcode[error.errno])
client.setblocking(True)
threading.Timer(0.1, server.sendall, (b"late",)).start()
start = time.monotonic()
print("blocking again", client.recv(10), near(time.monotonic() - start, 0.1))
threading.Timer(0.1, server.close).start()
print("end", client.recv(10))
client.close()

listener.settimeout(0.1)
try:
    listener.accept()
except TimeoutError as error:
    print("accept", error)
address = listener.getsockname()
listener.close()
try:
    socket.create_connection(address, timeout=1)
except OSError as error:
    print("refused", errno.errorcode[error.errno])

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
    a.bind(("127.0.0.1", 0))
    b.bind(("127.0.0.1", 0))
    threading.Timer(0.05, b.sendto, (b"datagram", a.getsockname())).start()
    data, source = a.recvfrom(100)
    print("datagram", data, source == b.getsockname())

left, right = socket.socketpair()
with left, right:
    threading.Timer(0.05, right.sendall, (b"half ",)).start()
    threading.Timer(0.10, right.sendall, (b"whole",)).start()
    print("waitall", left.recv(10, socket.MSG_WAITALL))
    buffer = bytearray(4)
    right.sendmsg([b"ab", b"cd"])
    print("into", left.recv_into(buffer), bytes(buffer))
    with tempfile.TemporaryFile() as file:
        file.write(b"from a file")
        file.seek(0)
        print("sendfile", right.sendfile(file), left.recv(100))

print("names", socket.gethostbyname("localhost"), socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4])
try:
    socket.getaddrinfo("no-such-host.invalid", 80)
except socket.gaierror as error:
    print("unknown", error.errno)
