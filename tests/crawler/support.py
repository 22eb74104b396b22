# SPDX-License-Identifier: Apache-2.0
"""What the crawl tests share: servers on free ports that end with their block, and the crawler as a program."""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
from urllib.parse import urlsplit

CRAWLER = os.environ["CRAWLER"]
SITE = os.environ["SITE"]


def clean_environment():
    """Without proxies: everything here is on this machine."""
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


def wait_until(condition, seconds, what):
    """Polls until condition() is true, and fails after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)  # The condition decides; this only leaves the processor to others.


@contextlib.contextmanager
def process(words, **options):
    """A child that is dead when the block ends."""
    child = subprocess.Popen(words, env=clean_environment(), stdin=subprocess.DEVNULL, **options)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        for pipe in (child.stdout, child.stderr):
            if pipe:
                pipe.close()


@contextlib.contextmanager
def site(*words):
    """The sample site; yields its URL."""
    with process([SITE, "--port", "0", *map(str, words)], stdout=subprocess.PIPE, text=True) as child:
        url = child.stdout.readline().strip()
        if not url.startswith("http://127.0.0.1:"):
            raise AssertionError(f"the site did not start: {url!r}")
        yield url


def manifest(*words):
    return json.loads(subprocess.run([SITE, "--manifest", *map(str, words)], check=True, capture_output=True).stdout)


def read_rows(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def target(url):
    """Path and query: what the manifest calls a URL."""
    parts = urlsplit(url)
    return parts.path + ("?" + parts.query if parts.query else "")


class Pages:
    """A server with answers from a dictionary: target to (status, headers, body), or to a function of the handler. Counts requests."""

    def __init__(self, answers):
        self.answers = answers
        self.requests = []  # (time, target, headers)
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        pages = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with pages._lock:
                    pages.requests.append((time.monotonic(), self.path, dict(self.headers)))
                    pages._now += 1
                    pages.most_at_once = max(pages.most_at_once, pages._now)
                try:
                    answer = pages.answers.get(self.path, (404, {}, b"no"))
                    status, headers, body = answer(self) if callable(answer) else answer
                finally:
                    with pages._lock:
                        pages._now -= 1
                body = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in {"Content-Type": "text/html", "Content-Length": len(body), **headers}.items():
                    if value is not None:
                        self.send_header(name, str(value))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 256

            def handle_error(self, request, client_address):
                pass  # A crawler that hangs up in the middle is part of the tests.

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def targets(self):
        return [path for _, path, _ in self.requests]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class CrawlTest(unittest.TestCase):
    """A directory of its own, and crawls."""

    maxDiff = 2000

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="crawler-test-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def run_crawler(self, *words, seconds=60):
        return subprocess.run([CRAWLER, *map(str, words)], env={**clean_environment(), "TMPDIR": str(self.dir)}, stdin=subprocess.DEVNULL, cwd=self.dir,
                              capture_output=True, text=True, timeout=seconds)

    def crawl(self, *words, status=0, seconds=60):
        """Rows of a crawl that ends with `status`."""
        path = self.dir / "rows.jsonl"
        ended = self.run_crawler("--quiet", "--output", path, *words, seconds=seconds)
        self.assertEqual(ended.returncode, status, ended.stderr)
        rows = read_rows(path)
        self.assertEqual(len({row["url"] for row in rows}), len(rows), "a URL has two rows")
        return rows
