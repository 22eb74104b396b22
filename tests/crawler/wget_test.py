# SPDX-License-Identifier: Apache-2.0
"""A real site: PostgreSQL's manual served by nginx. The crawler fetches what `wget --recursive` fetches."""

import os
import pathlib
import shutil
import socket
import subprocess
import unittest

from support import CrawlTest, clean_environment, process, target, wait_until

MANUAL = "/usr/share/doc/postgresql-doc-15/html"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"

CONFIGURATION = """
daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream;
  log_format plain '$status $request_uri'; access_log {dir}/access.log plain;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}; index index.html; }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class WgetTest(CrawlTest):
    def nginx(self):
        """nginx on a free port; another one where somebody takes it first."""
        self.port = free_port()
        configuration = self.dir / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(dir=self.dir, port=self.port, root=MANUAL))
        return process([NGINX, "-e", str(self.dir / "error.log"), "-c", str(configuration)])

    def requested(self):
        """What the server was asked for since the last call: status to paths."""
        log = self.dir / "access.log"
        seen = {}
        for line in log.read_text().splitlines():
            status, path = line.split(" ", 1)
            seen.setdefault(int(status), []).append(path)
        with open(log, "w"):
            pass
        return seen

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def test_the_same_pages(self):
        self.assertTrue(os.path.isdir(MANUAL), "the package postgresql-doc-15 is missing")
        with self.nginx() as server:
            wait_until(lambda: self.answers() or server.poll() is not None, 10, "nginx")
            self.assertIsNone(server.poll(), (self.dir / "error.log").read_text())
            url = f"http://127.0.0.1:{self.port}/"

            rows = self.crawl("--concurrency", 100, url, seconds=60)
            crawled = self.requested()
            wget = subprocess.run(["wget", "--no-config", "--recursive", "--level=inf", "--no-verbose", "--no-host-directories", "--directory-prefix",
                                   str(self.dir / "wget"), url], env=clean_environment(), stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=100)
            self.assertIn(wget.returncode, (0, 8), wget.stderr[-500:])  # 8: the manual itself has a broken link.
            fetched = self.requested()

        pages = sorted(p for p in crawled[200] if p != "/robots.txt")
        self.assertEqual(pages, sorted(set(pages)), "a page was fetched twice")
        self.assertGreater(len(pages), 1100)
        self.assertEqual(set(pages), set(fetched[200]))
        self.assertEqual(set(crawled.get(404, [])), set(fetched.get(404, [])))
        self.assertEqual(set(pages), {target(row["url"]) for row in rows if row["status"] == 200})
        by_name = {"/" + p.name for p in pathlib.Path(MANUAL).iterdir()}
        self.assertLessEqual(set(pages) - {"/"}, by_name)


if __name__ == "__main__":
    unittest.main()
