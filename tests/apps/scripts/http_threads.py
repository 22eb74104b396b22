# SPDX-License-Identifier: Apache-2.0
"""A threaded HTTP server and its urllib clients, many threads of one process."""
import http.server
import threading
import time
import urllib.error
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        time.sleep(0.05)
        body = self.path.encode() * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
base = f"http://127.0.0.1:{server.server_address[1]}"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
answers = []


def fetch(i):
    with opener.open(f"{base}/page{i}", timeout=20) as response:
        answers.append(response.read() == f"/page{i}".encode() * 1000)


start = time.monotonic()
threads = [threading.Thread(target=fetch, args=(i,)) for i in range(50)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("answers", answers.count(True), "at once", time.monotonic() - start < 2)
try:
    opener.open(base + "/missing")
except urllib.error.HTTPError as error:
    print("missing", error.code)
server.shutdown()
server.server_close()
try:
    opener.open(base + "/gone", timeout=2)
except urllib.error.URLError as error:
    print("gone", type(error.reason).__name__)
