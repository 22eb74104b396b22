# SPDX-License-Identifier: Apache-2.0
"""Crawlers that share a frontier in Redis: each page is fetched once between them, and one that dies loses none."""

import collections
import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import unittest

from support import CRAWLER, CrawlTest, Pages, manifest, process, read_rows, site, target, wait_until

KINDS = ["pages", "redirects", "broken", "slow", "failing", "flaky", "files", "refused"]
SMALL = ["--pages", 300, "--delay", 20, "--slow", 100]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    """A Redis that has read its data, not only one that listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
            s.sendall(b"PING\r\n")
            return s.recv(100).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


@contextlib.contextmanager
def redis(port, directory, *words):
    with process(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "", *words],
                 stdout=subprocess.DEVNULL) as child:
        wait_until(lambda: answers(port) or child.poll() is not None, 20, "Redis")
        yield child


@unittest.skipUnless(shutil.which("redis-server"), "no redis-server")
class SharedCrawls(CrawlTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.frontier = f"redis://127.0.0.1:{self.port}/test"
        self.log = self.dir / "requests.log"
        self.running = contextlib.ExitStack()
        self.addCleanup(self.running.close)

    def start(self, number, *words):
        """One of the crawlers; its rows go to rows-<number>.jsonl."""
        return self.running.enter_context(
            process([CRAWLER, "--frontier", self.frontier, "--retries", "1", "-c", "10", "-o", str(self.rows(number)), *map(str, words)],
                    cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def rows(self, number):
        return self.dir / f"rows-{number}.jsonl"

    def written(self, number):
        path = self.rows(number)
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def end(self, child, status=0):
        _, errors = child.communicate(timeout=60)
        self.assertEqual(child.returncode, status, errors)
        return errors

    def all_rows(self, count):
        """Those of the first `count` crawlers, without the torn line that a SIGKILL may leave."""
        whole = []
        for number in range(count):
            path = self.rows(number)
            text = path.read_text()
            path.write_text(text[:text.rfind("\n") + 1])
            whole += read_rows(path)
        return whole

    def check_complete(self, said, rows):
        self.assertEqual({target(row["url"]) for row in rows}, {path for kind in KINDS for path in said[kind]})

    def fetched_again(self, said):
        """Pages that were asked for more often than their retries explain, and how often. Failing ones libcurl itself asks for again."""
        seen = collections.Counter(self.log.read_text().split("\n")[:-1])
        seen.pop("/robots.txt", None)
        usual = {path: 2 for path in said["flaky"]} | {path: n for path, n in seen.items() if path in said["failing"]}
        return {path: n for path, n in seen.items() if n > usual.get(path, 1)}


class SharedFrontierTest(SharedCrawls):
    def test_three_crawlers_fetch_each_page_once(self):
        said = manifest(*SMALL)
        with redis(self.port, self.dir), site(*SMALL, "--log", self.log) as url:
            crawlers = [self.start(i, url) for i in range(3)]
            for child in crawlers:
                self.end(child)
            rows = self.all_rows(3)
            self.check_complete(said, rows)
            self.assertEqual(len({row["url"] for row in rows}), len(rows), "a URL has two rows")
            self.assertEqual(self.fetched_again(said), {})
            for i in range(3):
                self.assertGreater(self.written(i), 20, "they all had work")
            # Alone, a crawler finds the same pages at the same depths, where no way is ambiguous.
            alone = {row["url"]: row for row in self.crawl("--retries", 1, "-c", 10, url)}
            self.assertEqual({row["url"]: row["status"] for row in rows}, {url: row["status"] for url, row in alone.items()})
            # Who comes late has nothing to do.
            late = self.start(3, url)
            self.assertIn("nothing was left", self.end(late))

    def test_one_that_is_killed_loses_no_page(self):
        said = manifest(*SMALL)
        with redis(self.port, self.dir), site(*SMALL, "--log", self.log) as url:
            crawlers = [self.start(i, "--lease", "2s", url) for i in range(3)]
            wait_until(lambda: self.written(1) >= 30, 30, "the second crawler's rows")
            crawlers[1].send_signal(signal.SIGKILL)
            crawlers[1].wait()
            self.assertEqual(crawlers[1].returncode, -signal.SIGKILL)
            for child in (crawlers[0], crawlers[2]):
                self.end(child)
            rows = self.all_rows(3)
            self.check_complete(said, rows)
            again = self.fetched_again(said)
            self.assertLessEqual(len(again), 10, "only what the killed one had claimed is fetched again")
            self.assertLessEqual(len(rows) - len({row["url"] for row in rows}), 10)

    def test_one_that_is_interrupted_gives_its_pages_back_at_once(self):
        said = manifest(*SMALL)
        with redis(self.port, self.dir), site(*SMALL, "--log", self.log) as url:
            crawlers = [self.start(i, "--lease", "1h", url) for i in range(2)]
            wait_until(lambda: self.written(0) >= 20, 30, "the first crawler's rows")
            crawlers[0].send_signal(signal.SIGINT)
            self.assertIn("--resume", self.end(crawlers[0], 130))
            self.end(crawlers[1])
            rows = self.all_rows(2)
            self.check_complete(said, rows)
            self.assertEqual(self.fetched_again(said), {})

    def test_one_that_was_stopped_for_longer_than_its_lease_goes_on(self):
        said = manifest(*SMALL)
        with redis(self.port, self.dir), site(*SMALL, "--log", self.log) as url:
            crawlers = [self.start(i, "--lease", "1s", url) for i in range(2)]
            wait_until(lambda: self.written(0) >= 20, 30, "the first crawler's rows")
            crawlers[0].send_signal(signal.SIGSTOP)
            self.end(crawlers[1])
            crawlers[0].send_signal(signal.SIGCONT)
            self.end(crawlers[0])
            self.check_complete(said, self.all_rows(2))
            self.assertLessEqual(len(self.fetched_again(said)), 10)


class SharedLimitsTest(SharedCrawls):
    def test_max_pages_holds_for_all_together(self):
        with redis(self.port, self.dir), site(*SMALL) as url:
            for child in [self.start(i, "--max-pages", 50, url) for i in range(3)]:
                self.end(child)
            rows = self.all_rows(3)
            self.assertEqual(len([row for row in rows if row["attempts"] > 0]), 50)

    def test_depth_does_not_depend_on_who_fetched_what(self):
        # A long way to /deep is known first; the short one, by a slow page, brings what lies behind it within reach.
        slow = lambda _: (self.assertTrue(reached.wait(20)), (200, {}, '<a href="/deep">'))[1]
        reached = threading.Event()
        pages = {
            "/": (200, {}, '<a href="/a"><a href="/slow">'), "/a": (200, {}, '<a href="/b">'), "/b": (200, {}, '<a href="/deep">'),
            "/slow": slow, "/deep": lambda _: (reached.set(), (200, {}, '<a href="/behind">'))[1], "/behind": (200, {}, "end")}
        with redis(self.port, self.dir), Pages(pages) as web:
            for child in [self.start(i, "--no-robots", "--depth", 3, web.url) for i in range(2)]:
                self.end(child)
            self.assertEqual(sorted(web.targets()), ["/", "/a", "/b", "/behind", "/deep", "/slow"])


class LostFrontierTest(SharedCrawls):
    def test_a_frontier_that_is_not_there_is_said_at_once(self):
        child = self.start(0, "http://127.0.0.1:1/")
        errors = self.end(child, 1)
        self.assertIn(f"no frontier at {self.frontier}: Connection refused", errors)

    def test_a_url_that_is_no_frontier(self):
        for wrong in ("http://h/x", "redis://h:0/x", "redis://h:6379", "redis://h:6379/", "redis:///x"):
            self.frontier = wrong
            self.assertIn("not a frontier: " + wrong, self.end(self.start(0, "http://127.0.0.1:1/"), 2))

    def test_a_password(self):
        with redis(self.port, self.dir, "--requirepass", "a@c:/%"), Pages({"/": (200, {}, "")}) as web:
            self.assertIn("NOAUTH", self.end(self.start(0, "--no-robots", web.url), 1))
            self.frontier = f"redis://:wrong@127.0.0.1:{self.port}/test"
            errors = self.end(self.start(1, "--no-robots", web.url), 1)
            self.assertIn("WRONGPASS", errors)
            self.assertNotIn(":wrong@", errors)
            self.frontier = f"redis://:a%40c%3a%2F%25@127.0.0.1:{self.port}/test"
            self.end(self.start(2, "--no-robots", web.url))

    def test_a_redis_that_restarts_is_waited_for(self):
        said = manifest(*SMALL)
        keep = ("--appendonly", "yes", "--appendfsync", "no")
        with site(*SMALL, "--log", self.log) as url:
            with redis(self.port, self.dir, *keep):
                crawlers = [self.start(i, url) for i in range(2)]
                wait_until(lambda: self.written(0) >= 20, 30, "the first crawler's rows")
            before = [self.written(i) for i in range(2)]
            with redis(self.port, self.dir, *keep):
                for child in crawlers:
                    self.end(child)
            rows = self.all_rows(2)
            self.check_complete(said, rows)
            self.assertEqual(self.fetched_again(said), {})
            self.assertGreater(len(rows), sum(before))

    def test_a_redis_that_stays_away_ends_the_crawl_and_nothing_is_lost(self):
        said = manifest(*SMALL)
        with site(*SMALL, "--log", self.log) as url:
            with redis(self.port, self.dir):
                child = self.start(0, "--frontier-wait", "300ms", url)
                wait_until(lambda: self.written(0) >= 20, 30, "rows")
            errors = self.end(child, 1)
            self.assertIn(f"lost the frontier {self.frontier}", errors)
            self.assertIn("--resume", errors)
            # This Redis remembers nothing: what the rows say is done is done.
            with redis(self.port, self.dir):
                self.assertEqual(self.run_crawler("--resume", self.rows(0)).returncode, 0)
            rows = self.all_rows(1)
            self.check_complete(said, rows)
            self.assertEqual(len({row["url"] for row in rows}), len(rows), "a URL has two rows")
            self.assertEqual(self.fetched_again(said), {})

    def test_a_redis_that_was_emptied_is_no_end_of_the_crawl(self):
        with site(*SMALL) as url:
            with redis(self.port, self.dir):
                child = self.start(0, url)
                wait_until(lambda: self.written(0) >= 20, 30, "rows")
            with redis(self.port, self.dir):
                self.assertIn("GONE", self.end(child, 1))


if __name__ == "__main__":
    unittest.main()
