# SPDX-License-Identifier: Apache-2.0
"""HTTP over threads that do something: PORT KIND

pool: an accepting loop and a concurrent.futures pool, results by way of a queue; sqlite: a connection a thread to one database;
children: a subprocess for each request.
"""
import concurrent.futures
import hashlib
import http.server
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading

PORT, KIND = int(sys.argv[1]), sys.argv[2]


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


def pool():
    listener = socket.create_server(("127.0.0.1", PORT), backlog=512)
    done = queue.Queue()
    local = threading.local()

    def serve(connection):
        with connection, connection.makefile("rwb") as stream:
            while line := stream.readline():
                while stream.readline().strip():
                    pass
                local.served = getattr(local, "served", 0) + 1
                answer = hashlib.sha256(line).hexdigest().encode()
                stream.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
                stream.flush()
                done.put(local.served)

    with concurrent.futures.ThreadPoolExecutor(max_workers=512) as executor:
        try:
            while True:
                executor.submit(serve, listener.accept()[0])
        except Stop:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("served", done.qsize())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        answer = self.answer().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Children(Handler):
    def answer(self):
        done = subprocess.run(["/bin/sh", "-c", "read line; echo \"got $line\"; echo oops >&2; exit 7"], input=self.path + "\n",
                              capture_output=True, text=True)
        return f"{done.stdout}{done.stderr}{done.returncode}"


class Sqlite(Handler):
    def setup(self):
        super().setup()
        self.database = sqlite3.connect("base.db", timeout=60, isolation_level=None)

    def finish(self):
        self.database.close()
        super().finish()

    def answer(self):
        key = self.path
        self.database.execute("begin immediate")
        self.database.execute("insert into visits (key, size) values (?, ?)", (key, len(key)))
        self.database.execute("commit")
        return repr(self.database.execute("select count(distinct key), max(size) from visits where key = ?", (key,)).fetchone())


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = False


signal.signal(signal.SIGTERM, stop)
if KIND == "pool":
    pool()
else:
    if KIND == "sqlite":
        database = sqlite3.connect("base.db")
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = off")
        database.execute("create table visits (key text, size integer)")
        database.commit()
        database.close()  # while one is open the others' descriptors stay, for the sake of its locks
    server = Server(("127.0.0.1", PORT), {"sqlite": Sqlite, "children": Children}[KIND])
    try:
        server.serve_forever(poll_interval=0.1)
    except Stop:
        server.server_close()
    print("closed")
