# SPDX-License-Identifier: Apache-2.0
"""The server that curl and wget talk to, on a free loopback port and on a unix socket; it runs without weft."""
import hashlib
import http.server
import os
import socket
import socketserver
import threading

BODY = bytes(range(256)) * (10 * 1024 * 4)  # 10 MiB
TREE = {
    "/tree/": b"<html><a href='one.html'>1</a> <a href='two.html'>2</a> <a href='sub/'>sub</a></html>",
    "/tree/one.html": b"<html><a href='two.html'>2</a> <a href='missing.html'>gone</a></html>",
    "/tree/two.html": b"<html><a href='/tree/'>up</a></html>",
    "/tree/sub/": b"<html><a href='deep.html'>deep</a></html>",
    "/tree/sub/deep.html": b"<html>the end</html>",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stopping = threading.Event()

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        if self.path == "/big":
            first = int(self.headers.get("Range", "bytes=0-")[6:].rstrip("-"))
            if first:
                self.answer(206, BODY[first:], Content_Range=f"bytes {first}-{len(BODY) - 1}/{len(BODY)}")
            else:
                self.answer(200, BODY)
        elif self.path == "/slow":
            self.stopping.wait(30)
        elif self.path == "/pieces":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(5):
                self.stopping.wait(0.05)
                self.wfile.write(b"7\r\npiece %d\r\n" % i)
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"not a thousand")
            self.close_connection = True
        elif self.path == "/redirect":
            self.answer(302, Location="/small")
        elif self.path in TREE:
            self.answer(200, TREE[self.path], Content_Type="text/html")
        elif self.path.startswith("/small"):
            self.answer(200, f"path {self.path}\n".encode())
        else:
            self.answer(404, b"no such page\n")

    do_HEAD = do_GET

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, f"{len(body)} {hashlib.sha256(body).hexdigest()}\n".encode())

    do_PUT = do_POST

    def address_string(self):
        return "peer"

    def log_message(self, *_):
        pass


class QuietServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass  # clients that leave early are part of the tests


class UnixServer(QuietServer):
    address_family = socket.AF_UNIX


class Peer:
    """with Peer(directory) as peer: peer.url("/small"), peer.unix, peer.closed_port"""

    def __init__(self, directory):
        self.unix = os.path.join(directory, "socket")
        self.servers = [QuietServer(("127.0.0.1", 0), Handler), UnixServer(self.unix, Handler)]
        self.port = self.servers[0].server_address[1]
        # Bound but not listening: connecting is refused, and nobody else can take the number.
        self.nobody = socket.socket()
        self.nobody.bind(("127.0.0.1", 0))
        self.closed_port = self.nobody.getsockname()[1]

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def __enter__(self):
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        Handler.stopping.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.nobody.close()
