# SPDX-License-Identifier: Apache-2.0
"""http.server's threaded server for the files of a directory. Prints its port. It knows nothing of weft."""
import http.server
import sys
from functools import partial


class handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass


class server(http.server.ThreadingHTTPServer):
    request_queue_size = 4096
    daemon_threads = True

    def handle_error(self, *_):
        pass


if __name__ == "__main__":
    with server(("127.0.0.1", 0), partial(handler, directory=sys.argv[1])) as s:
        print(s.server_address[1], flush=True)
        s.serve_forever()
