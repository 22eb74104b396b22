# SPDX-License-Identifier: Apache-2.0
"""What each option does to a whole crawl, seen from the server's side too."""

import contextlib
import gzip
import os
import pty
import resource
import subprocess
import threading
import time
import unittest

from support import CRAWLER, CrawlTest, Pages, process, target


def links(*targets):
    return (200, {}, "".join(f'<a href="{t}">x</a>' for t in targets))


class OptionsTest(CrawlTest):
    def targets_of(self, rows):
        return sorted(target(row["url"]) for row in rows)

    def test_depth_and_max_pages(self):
        with Pages({"/": links("/1"), "/1": links("/2"), "/2": links("/3"), "/3": links()}) as pages:
            self.assertEqual(self.targets_of(self.crawl("--depth", 2, pages.url)), ["/", "/1", "/2"])
            self.assertEqual(self.targets_of(self.crawl("--depth", 0, pages.url)), ["/"])
            self.assertEqual(len(self.crawl("--max-pages", 3, pages.url)), 3)
            self.assertEqual([row["depth"] for row in self.crawl(pages.url)], [0, 1, 2, 3])

    def test_include_and_exclude(self):
        with Pages({"/": links("/docs/a", "/docs/draft", "/blog")}) as pages:
            self.assertEqual(self.targets_of(self.crawl("--include", "/docs/", "--exclude", "draft$", pages.url)), ["/", "/docs/a"])

    def test_same_host_and_all_hosts(self):
        with Pages({"/there": links()}) as other, Pages({}) as pages:
            pages.answers["/"] = links(other.url + "there", "/here")
            self.assertEqual(self.targets_of(self.crawl(pages.url)), ["/", "/here"])
            self.assertEqual(self.targets_of(self.crawl("--same-host", pages.url)), ["/", "/here"])
            self.assertEqual(other.requests, [])
            self.assertEqual(self.targets_of(self.crawl("--all-hosts", pages.url)), ["/", "/here", "/there"])

    def test_several_start_urls(self):
        with Pages({"/": links()}) as one, Pages({"/x": links("/y")}) as two:
            rows = self.crawl(one.url, two.url + "x#part", two.url + "x")
            self.assertEqual(self.targets_of(rows), ["/", "/x", "/y"])

    def test_retries_with_back_off_and_retry_after(self):
        with Pages({"/": (503, {}, "later")}) as pages:
            start = time.monotonic()
            (row,) = self.crawl("--no-robots", "--retries", 2, pages.url)
            self.assertEqual((row["status"], row["attempts"]), (503, 3))
            first, second, third = (at for at, _, _ in pages.requests)
            self.assertGreaterEqual(second - first, 0.5)
            self.assertGreaterEqual(third - second, 1.0)
            self.assertLess(time.monotonic() - start, 10)
        with Pages({"/": (429, {"Retry-After": 1}, "later")}) as pages:
            (row,) = self.crawl("--no-robots", "--retries", 1, pages.url)
            self.assertGreaterEqual(pages.requests[1][0] - pages.requests[0][0], 1.0)
        with Pages({"/": (404, {}, "no")}) as pages:
            (row,) = self.crawl("--no-robots", pages.url)
            self.assertEqual(row["attempts"], 1)

    def test_timeout(self):
        over = threading.Event()
        with Pages({"/": lambda _: (over.wait(20), links())[1]}) as pages:
            start = time.monotonic()
            (row,) = self.crawl("--no-robots", "--timeout", "300ms", "--retries", 0, pages.url, status=1)
            self.assertLess(time.monotonic() - start, 3)
            over.set()
            self.assertEqual(row["status"], 0)
            self.assertRegex(row["error"], "(?i)timed out")
            self.assertTrue(295 <= row["elapsed_ms"] < 1500, row["elapsed_ms"])  # libcurl counts in cut milliseconds

    def test_delay_spaces_the_requests(self):
        with Pages({"/": links(*map(str, range(5)))}) as pages:
            self.crawl("--delay", "150ms", "--no-robots", pages.url)
            starts = [at for at, _, _ in pages.requests]
            self.assertEqual(len(starts), 6)
            self.assertTrue(all(b - a >= 0.1 for a, b in zip(starts, starts[1:])), starts)
            self.assertGreaterEqual(starts[-1] - starts[0], 5 * 0.15 - 0.05)

    def test_per_host_limits_what_runs_at_once(self):
        slowly = lambda _: (time.sleep(0.03), links())[1]  # How slow the pages are, not a wait of the test.
        with Pages({"/": links(*map(str, range(30))), **{f"/{i}": slowly for i in range(30)}}) as pages:
            self.crawl("--concurrency", 20, "--per-host", 3, pages.url)
            self.assertEqual(pages.most_at_once, 3)
            self.assertEqual(len(self.crawl("--concurrency", 20, pages.url)), 31)
            self.assertGreater(pages.most_at_once, 3)

    def test_max_body_cuts(self):
        body = "<a href=/early>x</a>" + "." * 100_000 + "<a href=/late>x</a>"
        with Pages({"/": (200, {}, body)}) as pages:
            rows = self.crawl("--max-body", "50k", "--save", self.dir / "saved", pages.url)
            row = next(row for row in rows if target(row["url"]) == "/")
            self.assertEqual((row["bytes"], row["error"], row["attempts"]), (51200, "body cut at 51200 bytes", 1))
            self.assertEqual(self.targets_of(rows), ["/", "/early"])
            self.assertEqual(len(self.crawl("--max-body", len(body), pages.url)), 3)

    def test_a_compressed_body_is_cut_by_its_real_size(self):
        bomb = gzip.compress(b"." * 5_000_000)
        with Pages({"/": (200, {"Content-Encoding": "gzip"}, bomb)}) as pages:
            (row,) = self.crawl("--max-body", "1M", pages.url)
            self.assertEqual(row["bytes"], 1 << 20)

    def test_content_types_decide(self):
        html = '<!DOCTYPE html><a href="/no">x</a>'
        with Pages({"/": links("/t", "/x", "/j", "/none", "/e"), "/t": (200, {"Content-Type": "text/plain"}, html),
                    "/x": (200, {"Content-Type": "application/xhtml+xml"}, '<a href="/from-xhtml">x</a>'),
                    "/j": (200, {"Content-Type": "application/json"}, html), "/none": (200, {"Content-Type": None}, '<html><a href="/from-none">'),
                    "/e": (404, {}, html)}) as pages:
            rows = self.crawl(pages.url)
            self.assertEqual(self.targets_of(rows), ["/", "/e", "/from-none", "/from-xhtml", "/j", "/none", "/t", "/x"])

    def test_user_agent_and_referrer_are_sent(self):
        with Pages({"/": links("/1")}) as pages:
            self.crawl("--user-agent", "me/7", pages.url)
            self.assertEqual({headers["User-Agent"] for _, _, headers in pages.requests}, {"me/7"})
            self.assertEqual(next(h for _, t, h in pages.requests if t == "/1")["Referer"], pages.url)

    def test_save_keeps_bodies_below_the_directory(self):
        saved = self.dir / "saved"
        answers = {"/": links("/a", "/a/b", "/%2e%2e%2f%2e%2e%2fescaped", "/gone", "/q?x=1"), "/a": (200, {}, "page a"), "/a/b": (200, {}, "page b"),
                   "/..%2F..%2Fescaped": (200, {}, "escaped"), "/%2E%2E%2F%2E%2E%2Fescaped": (200, {}, "escaped"), "/q?x=1": (200, {}, "query")}
        with Pages(answers) as pages:
            self.crawl("--save", saved, pages.url)
        contents = sorted(p.read_text() for p in saved.rglob("*") if p.is_file())
        self.assertEqual(contents, sorted([answers["/"][2], "page a", "page b", "escaped", "query"]))
        self.assertEqual({p.name for p in self.dir.iterdir()}, {"saved", "rows.jsonl"})

    def test_output_to_the_standard_output(self):
        with Pages({"/": links()}) as pages:
            ended = self.run_crawler("--output", "-", pages.url)
            self.assertEqual(ended.stdout.count("\n"), 1)
            self.assertIn(f'"url":"{pages.url}"', ended.stdout)
            self.assertIn("pages ", ended.stderr)
            self.assertEqual(self.run_crawler("--quiet", pages.url).stdout, "")


class RobotsTest(CrawlTest):
    def fetched(self, rules, *words, page=None):
        """Targets of the pages fetched from a site with this answer for its robots.txt."""
        answers = {"/": page or links("/open", "/closed"), "/robots.txt": rules}
        with Pages(answers) as pages:
            self.rows = self.crawl("--retries", 0, *words, pages.url)
            self.requests = pages.requests
            return sorted(t for t in pages.targets() if t != "/robots.txt")

    def test_disallowed_pages_are_named_but_not_fetched(self):
        self.assertEqual(self.fetched((200, {}, "User-agent: *\nDisallow: /closed")), ["/", "/open"])
        self.assertEqual([r["error"] for r in self.rows if r["attempts"] == 0], ["refused by robots.txt"])

    def test_no_robots_does_not_ask(self):
        self.assertEqual(self.fetched((200, {}, "User-agent: *\nDisallow: /"), "--no-robots"), ["/", "/closed", "/open"])
        self.assertNotIn("/robots.txt", [t for _, t, _ in self.requests])

    def test_the_user_agent_chooses_the_group(self):
        rules = (200, {}, "User-agent: me\nDisallow: /open\n\nUser-agent: *\nDisallow: /closed")
        self.assertEqual(self.fetched(rules, "--user-agent", "Me/2"), ["/", "/closed"])

    def test_an_answer_of_400_allows_all(self):
        self.assertEqual(self.fetched((404, {}, "")), ["/", "/closed", "/open"])
        self.assertEqual(self.fetched((403, {}, "")), ["/", "/closed", "/open"])

    def test_an_answer_of_500_forbids_all(self):
        with Pages({"/": links(), "/robots.txt": (500, {}, "")}) as pages:
            (row,) = self.crawl("--retries", 0, pages.url, status=1)
        self.assertEqual(row["error"], "refused by robots.txt, which cannot be read: 500")
        self.assertEqual(pages.targets(), ["/robots.txt"])

    def test_a_redirect_is_followed(self):
        with Pages({"/": links("/closed"), "/robots.txt": (301, {"Location": "/elsewhere"}, ""),
                    "/elsewhere": (200, {}, "User-agent: *\nDisallow: /closed")}) as pages:
            self.crawl(pages.url)
            self.assertEqual(pages.targets(), ["/robots.txt", "/elsewhere", "/"])

    def test_crawl_delay_is_kept(self):
        self.fetched((200, {}, "User-agent: *\nCrawl-delay: 0.3"))
        starts = [at for at, _, _ in self.requests]
        self.assertEqual(len(starts), 4)
        self.assertTrue(all(b - a >= 0.25 for a, b in zip(starts, starts[1:])), starts)

    def test_nofollow_is_obeyed(self):
        page = (200, {}, '<a href=/open>x</a><a rel=nofollow href=/closed>y</a>')
        self.assertEqual(self.fetched((404, {}, ""), page=page), ["/", "/open"])
        self.assertEqual(self.fetched((404, {}, ""), "--no-robots", page=page), ["/", "/closed", "/open"])


class ProgressTest(CrawlTest):
    def on_a_terminal(self, *words):
        """What a crawl shows on a terminal as its standard error."""
        ours, its = pty.openpty()
        with process([CRAWLER, *words], stdout=subprocess.DEVNULL, stderr=its) as child:
            os.close(its)
            shown = b""
            with contextlib.suppress(OSError):  # Linux says EIO when the other side is closed.
                while piece := os.read(ours, 4096):
                    shown += piece
            os.close(ours)
            self.assertEqual(child.wait(timeout=10), 0)
        return shown.decode()

    def test_on_a_terminal_one_line_is_redrawn(self):
        with Pages({"/": links("/1", "/2"), "/1": links()}) as pages:
            shown = self.on_a_terminal("--delay", "200ms", pages.url)
            self.assertRegex(shown, r"\r\d+ done, \d+ queued, \d+ failed, [0-9.]+/s, 0:00 elapsed, ETA 0:\d\d\x1b\[K")
            self.assertTrue(shown.endswith("\r\x1b[K"), shown[-100:])
            self.assertNotIn("\n", shown)
            self.assertEqual(self.on_a_terminal("--quiet", pages.url), "")

    def test_elsewhere_there_is_a_line_now_and_then(self):
        with Pages({"/": links("/1", "/2", "/3")}) as pages:
            ended = self.run_crawler("--delay", "700ms", pages.url)
            self.assertRegex(ended.stderr, r"^crawler: \d+ done, \d+ queued, .*\n$")
            self.assertNotIn("\x1b", ended.stderr)


class ErrorsTest(CrawlTest):
    def test_bad_usage(self):
        for words in ([], ["ftp://h/"], ["--concurrency", "0", "h"], ["--nonsense", "h"], ["--include", "(", "h"]):
            ended = self.run_crawler(*words)
            self.assertEqual((ended.returncode, ended.stdout), (2, ""), words)
            self.assertRegex(ended.stderr, r"^crawler: .+\nRun crawler --help")

    def test_help(self):
        ended = self.run_crawler("--help")
        self.assertEqual(ended.returncode, 0)
        self.assertIn("--per-host", ended.stdout)

    def test_files_that_cannot_be_written(self):
        with Pages({"/": links("/1", "/2")}) as pages:
            for option in ("--output", "--resume", "--report"):
                ended = self.run_crawler(option, "/no/such/dir/x", pages.url)
                self.assertEqual(ended.returncode, 1, option)
                self.assertIn("/no/such/dir/x", ended.stderr)
            ended = self.run_crawler("--output", "/dev/full", pages.url)
            self.assertEqual(ended.returncode, 1)
            self.assertIn("No space left", ended.stderr)
            self.assertIn("--resume", ended.stderr)

    def test_too_many_fibers_for_the_open_files(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        ended = subprocess.run([CRAWLER, "-c", "500", "http://127.0.0.1:1/"], capture_output=True, text=True, timeout=10, preexec_fn=limit)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("ulimit -n", ended.stderr)

    def test_nobody_there(self):
        with Pages({}) as gone:
            url = gone.url
        (row,) = self.crawl("--retries", 0, url, status=1)
        self.assertEqual(row["status"], 0)
        self.assertRegex(row["error"], "(?i)connect")

    def test_a_name_that_does_not_exist(self):
        (row,) = self.crawl("--retries", 0, "http://no-such-host.invalid/", status=1)
        self.assertEqual(row["status"], 0)
        self.assertIn("no-such-host.invalid", row["error"])


if __name__ == "__main__":
    unittest.main()
