# SPDX-License-Identifier: Apache-2.0
"""Interrupted crawls: what was fetched is kept, the rest is fetched later, nothing is lost or fetched twice."""

import collections
import pathlib
import re
import shlex
import signal
import subprocess
import time
import unittest

from support import CRAWLER, CrawlTest, Pages, manifest, process, read_rows, site, target, wait_until

KINDS = ["pages", "redirects", "broken", "slow", "failing", "flaky", "files", "refused"]
SMALL = ["--pages", 300, "--delay", 20, "--slow", 100]


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


class ResumeTest(CrawlTest):
    def setUp(self):
        super().setUp()
        self.rows = self.dir / "out.jsonl"
        self.log = self.dir / "requests.log"

    def start(self, *words):
        return process([CRAWLER, *map(str, words)], cwd=self.dir, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def interrupt(self, words, how, at_row):
        with self.start(*words) as child:
            wait_until(lambda: lines(self.rows) >= at_row or child.poll() is not None, 30, f"{at_row} rows")
            child.send_signal(how)
            _, errors = child.communicate(timeout=20)
            return child.returncode, errors

    def requested(self):
        seen = collections.Counter(self.log.read_text().split("\n")[:-1])
        seen.pop("/robots.txt", None)
        return seen

    def check_complete(self, said):
        rows = read_rows(self.rows)
        self.assertEqual(len({row["url"] for row in rows}), len(rows), "a URL has two rows")
        self.assertEqual({target(row["url"]) for row in rows}, {path for kind in KINDS for path in said[kind]})
        return rows

    def test_ctrl_c_then_resume(self):
        said = manifest(*SMALL)
        with site(*SMALL, "--log", self.log) as url:
            status, errors = self.interrupt(["-c", 10, "--retries", 1, "--output", self.rows, url], signal.SIGINT, 50)
            self.assertEqual(status, 130, errors)
            some = len(read_rows(self.rows))
            self.assertLess(some, 350)
            told = re.search(r"to go on: crawler (.*)", errors)
            self.assertTrue(told, errors)
            ended = self.run_crawler(*shlex.split(told[1]))
            self.assertEqual(ended.returncode, 0, ended.stderr)
            rows = self.check_complete(said)
            self.assertGreater(len(rows), some)
            for path, count in self.requested().items():
                if path not in said["flaky"] and path not in said["failing"]:
                    self.assertEqual(count, 1, path)
        self.assertFalse(pathlib.Path(f"{self.rows}.crawl").exists())

    def test_sigterm_is_as_orderly(self):
        with site(*SMALL) as url:
            status, errors = self.interrupt(["-c", 10, "--output", self.rows, url], signal.SIGTERM, 20)
        self.assertEqual(status, 143, errors)
        self.assertIn("--resume", errors)

    def test_kill_nine_then_resume(self):
        said = manifest(*SMALL)
        words = ["-c", 10, "--retries", 1, "--output", self.rows]
        with site(*SMALL, "--log", self.log) as url:
            status, _ = self.interrupt([*words, url], signal.SIGKILL, 30)
            self.assertEqual(status, -signal.SIGKILL)
            with open(self.rows, "a") as torn:
                torn.write('{"url":"http://torn/","sta')
            self.interrupt(["--resume", self.rows], signal.SIGKILL, 100)
            self.interrupt(["--resume", self.rows, "-c", 3], signal.SIGKILL, 200)
            ended = self.run_crawler("--resume", self.rows)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.check_complete(said)
            again = {p: c for p, c in self.requested().items() if c > 1 and p not in said["flaky"] and p not in said["failing"]}
            self.assertLessEqual(len(again), 10 + 10 + 3, "only what was in flight is fetched again")

    def test_one_command_line_for_start_and_resume(self):
        said = manifest(*SMALL)
        state = self.dir / "state.jsonl"
        words = ["-c", 10, "--retries", 1, "--output", self.rows, "--resume", state]
        with site(*SMALL) as url:
            self.interrupt([*words, url], signal.SIGINT, 50)
            ended = self.run_crawler(*words, url)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.check_complete(said)
        self.assertEqual(self.rows.read_bytes(), state.read_bytes())

    def test_without_an_output_there_is_a_file_to_resume_from(self):
        with site(*SMALL, "--log", self.log) as url, self.start("-c", "10", url) as child:
            wait_until(lambda: lines(self.log) > 50, 30, "50 requests")
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=20)
            self.assertEqual(child.returncode, 130)
            path = pathlib.Path(shlex.split(re.search(r"--resume (.*)", errors)[1])[0])
            self.addCleanup(lambda: [p.unlink(missing_ok=True) for p in (path, pathlib.Path(f"{path}.crawl"))])
            self.assertGreater(len(read_rows(path)), 20)

    def test_pages_in_flight_are_finished(self):
        slow = Pages({"/": lambda _: (time.sleep(1), (200, {}, "slow"))[1]})  # How slow the page is, not a wait of the test.
        with slow, self.start("--no-robots", "--output", self.rows, slow.url) as child:
            wait_until(lambda: slow.requests, 10, "the request")
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=20)
            self.assertEqual(child.returncode, 130)
        self.assertEqual([row["status"] for row in read_rows(self.rows)], [200])

    def test_the_second_ctrl_c_ends_at_once(self):
        hang = Pages({"/": lambda _: (wait_until(lambda: over, 20, "the test's end"), (200, {}, ""))[1]})
        over = []
        with hang, self.start("--no-robots", "--output", self.rows, hang.url) as child:
            wait_until(lambda: hang.requests, 10, "the request")
            child.send_signal(signal.SIGINT)
            self.assertIn("once more", child.stderr.readline())
            start = time.monotonic()
            child.send_signal(signal.SIGINT)
            child.wait(timeout=10)
            self.assertLess(time.monotonic() - start, 2)
            self.assertEqual(child.returncode, 130)
            over.append(True)

    def test_a_pause_before_a_retry_ends_at_once(self):
        with Pages({"/": (503, {"Retry-After": 50}, "later")}) as busy, self.start("--no-robots", "--output", self.rows, busy.url) as child:
            wait_until(lambda: busy.requests, 10, "the request")
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=10)
            self.assertEqual(child.returncode, 130)
            self.assertEqual(read_rows(self.rows), [])


if __name__ == "__main__":
    unittest.main()
