# SPDX-License-Identifier: Apache-2.0
"""Python's library in threads: servers and their clients, TLS, databases, children. `--list` names the cases."""
import asyncio
import hashlib
import http.client
import http.server
import multiprocessing.pool
import os
import select
import selectors
import shutil
import socket
import socketserver
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib

from threads import join, start

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def in_threads(count, function):
    """What function(0) ... function(count - 1) return, each in its thread."""
    results = [None] * count

    def run(i):
        results[i] = function(i)

    join(start(count, run))
    return results


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = hashlib.sha256(self.path.encode()).hexdigest().encode() * 200
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))[::-1]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 200
    daemon_threads = False


def ask(port, i):
    connection, right = http.client.HTTPConnection("127.0.0.1", port, timeout=30), 0
    for n in range(5):
        connection.request("GET", f"/{i}/{n}")
        right += connection.getresponse().read() == hashlib.sha256(f"/{i}/{n}".encode()).hexdigest().encode() * 200
    body = bytes([i]) * 200_000 + b"end"
    connection.request("POST", "/", body)
    right += connection.getresponse().read() == body[::-1]
    connection.close()
    return right


@case
def http_threads():
    with Server(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        print(sum(in_threads(40, lambda i: ask(server.server_port, i))))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        print(len(opener.open(f"http://localhost:{server.server_port}/x", timeout=10).read()))
        server.shutdown()
        serving.join()
    print(threading.active_count())


@case
def socket_servers():
    class Echo(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(line.upper())

    for kind in (socketserver.ThreadingTCPServer, socketserver.ThreadingUnixStreamServer):
        kind.request_queue_size = 50
        with tempfile.TemporaryDirectory() as directory:
            address = os.path.join(directory, "s") if "Unix" in kind.__name__ else ("127.0.0.1", 0)
            with kind(address, Echo) as server:
                serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
                serving.start()

                def client(i):
                    with socket.socket(server.address_family) as s:
                        s.connect(server.server_address)
                        s.sendall(f"client {i}\n".encode() * 100)
                        s.shutdown(socket.SHUT_WR)
                        return b"".join(iter(lambda: s.recv(1000), b"")) == f"CLIENT {i}\n".encode() * 100

                print(kind.__name__, in_threads(20, client).count(True))
                server.shutdown()
                serving.join()


@case
def tls_threads():
    with tempfile.TemporaryDirectory() as directory:
        key, cert = os.path.join(directory, "key"), os.path.join(directory, "cert")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        trusting = ssl.create_default_context(cafile=cert)
        trusting.check_hostname = False
        listener = socket.create_server(("127.0.0.1", 0), backlog=50)

        def serve(_):
            with context.wrap_socket(listener.accept()[0], server_side=True) as s:
                while data := s.recv(5000):
                    s.sendall(data.swapcase())

        servers = start(15, serve)

        def client(i):
            with trusting.wrap_socket(socket.create_connection(listener.getsockname())) as s:
                text = f"Client {i} ".encode() * 3000
                sender = threading.Thread(target=s.sendall, args=(text,))
                sender.start()
                got = b""
                while len(got) < len(text):
                    got += s.recv(4000)
                sender.join()
                return got == text.swapcase() and s.version() == "TLSv1.3"

        print(in_threads(15, client).count(True))
        join(servers)


@case
def databases():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "db")
        with sqlite3.connect(path) as db:
            db.execute("create table t (thread integer, n integer)")

        def run(i):
            db = sqlite3.connect(path, timeout=60)
            for n in range(5):
                with db:
                    db.execute("insert into t values (?, ?)", (i, n))
            count = db.execute("select count(*) from t where thread = ?", (i,)).fetchone()[0]
            db.close()
            return count

        print(in_threads(8, run), sqlite3.connect(path).execute("select count(*), sum(n) from t").fetchone())
        shared = sqlite3.connect(":memory:", check_same_thread=False)
        shared.execute("create table t (n)")
        one_writes = threading.Lock()  # sqlite3 wants it so; a connection's last error is that of all its threads

        def insert(n):
            with one_writes:
                shared.execute("insert into t values (?)", (n,))

        in_threads(8, lambda i: [insert(n) for n in range(50)])
        print(shared.execute("select count(*) from t").fetchone())


@case
def children():
    def run(i):
        done = subprocess.run(["sh", "-c", f"cat; echo err {i} >&2; exit {i}"], input=f"to {i}", capture_output=True, text=True)
        return done.stdout, done.stderr.strip(), done.returncode

    for line in in_threads(10, run):
        print(*line)

    def late(i):
        try:
            subprocess.run(["sleep", "10"], timeout=0.02 + 0.005 * i)
        except subprocess.TimeoutExpired:
            return "late"

    print(in_threads(5, late))
    print(in_threads(6, lambda i: (os.system(f"exit {i}") >> 8, os.popen(f"echo {i}").read().strip())))
    shell = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reader = threading.Thread(target=lambda: print(len(shell.stdout.read())))
    reader.start()
    shell.stdin.write(b"x" * 300_000)
    shell.stdin.close()
    reader.join()
    print(shell.wait())


@case
def multiplexers():
    pairs = [socket.socketpair() for _ in range(20)]

    def run(i):
        kind = (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector)[i % 3]
        got = []
        with kind() as selector:
            for n in range(i % 4, 20, 4):
                if n // 4 == i // 4:
                    selector.register(pairs[n][0], selectors.EVENT_READ, n)
            while len(got) < 3:
                for key, _ in selector.select(10):
                    got.append(key.fileobj.recv(1))
        return b"".join(got)

    threads = [threading.Thread(target=lambda i=i: results.append((i, run(i)))) for i in range(20)]
    results = []
    for t in threads:
        t.start()
    for byte in (b"a", b"b", b"c"):
        for _, far in pairs:
            far.send(byte)
        time.sleep(0.005)
    join(threads)
    print({r for _, r in results}, len(results))
    print(select.select([pairs[0][0]], [], [], 0.01)[0], len(select.select([], [pairs[0][0]], [], 1)[1]))


@case
def loops_in_threads():
    async def child(n):
        await asyncio.sleep(0.001 * (n % 5))
        return await asyncio.to_thread(lambda: n * 2)

    async def work(i):
        return sum(await asyncio.gather(*(child(n) for n in range(i, i + 10))))

    print(in_threads(6, lambda i: asyncio.run(work(i))))

    async def process():
        p = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return (await p.communicate(b"through cat"))[0], p.returncode

    print(asyncio.run(process()))


@case
def pools_of_both_kinds():
    with multiprocessing.pool.ThreadPool(6) as pool:
        print(sum(pool.imap_unordered(lambda n: n + 1, range(100))))
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        print(pool.map(abs, range(-5, 5)))
    with context.Manager() as manager:
        shared = manager.list()
        in_threads(4, shared.append)
        print(sorted(shared))


@case
def files_and_compression():
    with tempfile.TemporaryDirectory() as directory:
        def run(i):
            path = os.path.join(directory, str(i))
            data = os.urandom(1000) * 300 + bytes([i])
            with open(path, "wb") as file:
                file.write(zlib.compress(data))
            shutil.copy(path, path + ".copy")
            with open(path + ".copy", "rb") as file:
                return zlib.decompress(file.read()) == data and hashlib.blake2b(data).hexdigest() == hashlib.blake2b(data).hexdigest()

        print(in_threads(10, run).count(True), len(os.listdir(directory)))


@case
def names_are_looked_up():
    def run(i):
        try:
            return sorted({a[4][0] for a in socket.getaddrinfo("localhost", 80 + i, socket.AF_INET)})
        except OSError as e:
            return str(e)

    print(in_threads(10, run))


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
    else:
        CASES[sys.argv[1]]()


if __name__ == "__main__":
    main()
