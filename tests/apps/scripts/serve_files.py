# SPDX-License-Identifier: Apache-2.0
"""ThreadingHTTPServer over the files of a directory, with TLS if a certificate and its key are named: PORT DIRECTORY [CERTIFICATE KEY]"""
import functools
import http.server
import signal
import ssl
import sys
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    context = None

    def setup(self):
        if self.context:
            self.request = self.context.wrap_socket(self.request, server_side=True)  # the handshake, in this thread
        super().setup()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512


port, directory, *certificate = sys.argv[1:]
if certificate:
    Handler.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    Handler.context.load_cert_chain(*certificate)
server = Server(("127.0.0.1", int(port)), functools.partial(Handler, directory=directory))
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(poll_interval=0.1)
server.server_close()
print("closed,", threading.current_thread().name)
