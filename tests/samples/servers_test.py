# SPDX-License-Identifier: Apache-2.0
"""The servers of samples/servers: their own clients, strangers, load, and clients that behave badly."""
import email.utils
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from running import Server, leaves_nothing, program, run, wait_until

SANITIZED = os.environ.get("SANITIZED", "")  # by what
GROWTH_KIB = None if SANITIZED else 16 * 1024  # a sanitizer keeps what was freed, and a history


class EchoTest(unittest.TestCase):
    def test_many_clients(self):
        with Server("echo-server") as server:
            with leaves_nothing(server):
                out = run("echo-client", server.address, "--clients", 200, "--messages", 20)
                self.assertEqual(out, "200 of 200 clients got back all of their 20 messages\n")
                self.assertIn("3 of 3", run("echo-client", server.address, "--clients", 3, "--messages", 2, "--size", 3_000_000))
            self.assertEqual(server.stop(), (0, "stopped\n", ""))

    def test_workers(self):
        for words in (["--workers", 3], ["--workers", 2, "--processes"], ["--pool", 5]):
            with self.subTest(words=words), Server("echo-server", *words) as server:
                self.assertIn("40 of 40", run("echo-client", server.address, "--clients", 40, "--messages", 5))
                self.assertEqual(server.stop(signal.SIGINT), (0, "stopped\n", ""))

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="weft-samples-") as place:
            with Server("echo-server", address=f"unix:{place}/socket") as server:
                self.assertIn("9 of 9", run("echo-client", server.address, "--clients", 9))
                self.assertEqual(server.stop()[0], 0)
            self.assertEqual(os.listdir(place), [])

    def test_a_stop_waits_for_clients_and_not_for_ever(self):
        with Server("echo-server", "--stop", 1) as server:
            client = server.connect()
            client.sendall(b"before")
            self.assertEqual(client.recv(100), b"before")
            server.child.send_signal(signal.SIGTERM)
            wait_until(lambda: not self.accepts(server), 20, "the door is closed")
            client.sendall(b"after")
            self.assertEqual(client.recv(100), b"after")
            out, _ = server.child.communicate(timeout=30)
            self.assertEqual(out, "stopped; some clients had to be cut off\n")
            self.assertEqual(client.recv(100), b"")

    @staticmethod
    def accepts(server):
        try:
            server.connect(5).close()
            return True
        except OSError:
            return False

    @unittest.skipIf("undefined" in SANITIZED, "UBSan opens pipes to look at objects, and takes them for invalid if it cannot")
    def test_without_descriptors_it_goes_on(self):
        with Server("echo-server") as server:
            limit = server.descriptors() + 4
            subprocess.run(["prlimit", f"--nofile={limit}:", "--pid", str(server.child.pid)], check=True)
            clients = [server.connect() for _ in range(10)]
            for c in clients:
                c.sendall(b"x")
            for c in clients:  # each makes room for another
                self.assertEqual(c.recv(1), b"x")
                c.close()
            self.assertEqual(server.stop()[:2], (0, "stopped\n"))


class ChatTest(unittest.TestCase):
    def test_everybody_reads_everybody(self):
        with Server("chat-server") as server:
            people = []
            for name in ("ann", "bob", "cid"):
                p = subprocess.Popen([program("chat-client"), server.address, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                self.assertEqual(self.until(p, "is here").split()[1], name)
                people.append(p)
            ann, bob, cid = people
            bob.stdin.write("hello\n/who\n")
            bob.stdin.flush()
            for p in people:
                self.assertEqual(self.until(p, "hello"), "bob: hello")
            self.assertEqual(self.until(bob, "* ann"), "* ann bob cid")
            cid.stdin.close()
            self.assertEqual(self.until(ann, "has left"), "* cid has left")
            cid.wait(timeout=20)
            self.assertEqual(server.stop()[:2], (0, "stopped\n"))
            self.assertEqual(self.until(ann, "closed"), "* the room is closed")
            for p in people:
                p.wait(timeout=20)
                for pipe in (p.stdin, p.stdout):
                    pipe.close()

    @staticmethod
    def until(p, text):
        for line in p.stdout:
            if text in line:
                return line.strip()
        raise AssertionError(f"{text!r} was not said")

    def test_who_does_not_read_holds_up_nobody(self):
        with Server("chat-server") as server, leaves_nothing(server):
            deaf, talker = server.connect(), server.connect()
            for c, name in ((deaf, b"deaf\n"), (talker, b"talker\n")):
                c.recv(100)
                c.sendall(name)
            reader = talker.makefile("r")
            line = "x" * 900
            for i in range(3000):
                talker.sendall(f"{i} {line}\n".encode())
                while not reader.readline().startswith(f"talker: {i} "):
                    pass
            for c in (reader, deaf, talker):
                c.close()


class FilesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory(prefix="weft-samples-")
        root = pathlib.Path(cls.place.name)
        cls.big = random.Random(1).randbytes(3_000_000)
        (root / "big.bin").write_bytes(cls.big)
        (root / "small.txt").write_text("0123456789")
        (root / "empty.txt").write_text("")
        (root / "with space & more.html").write_text("<p>here</p>")
        (root / "folder").mkdir()
        (root / "folder" / "index.html").write_text("the index")
        (root / "list").mkdir()
        (root / "list" / "a<b.txt").write_text("")
        os.mkfifo(root / "pipe")
        cls.server = Server("file-server", "--root", root)

    @classmethod
    def tearDownClass(cls):
        status, out, errors = cls.server.stop()
        cls.server.__exit__()
        cls.place.cleanup()
        assert (status, errors) == (0, ""), (status, out, errors)

    def setUp(self):
        self.client = self.server.connect()
        self.file = self.client.makefile("rb")

    def tearDown(self):
        self.file.close()
        self.client.close()

    def ask(self, path, method="GET", version="1.1", **fields):
        text = f"{method} {path} HTTP/{version}\r\n" + ("Host: here\r\n" if version == "1.1" else "")
        self.client.sendall((text + "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items()) + "\r\n").encode())
        return self.answer(method == "HEAD")

    def answer(self, head_only=False):
        status = int(self.file.readline().split()[1])
        fields = {}
        while (line := self.file.readline().decode().strip()):
            name, _, value = line.partition(": ")
            fields[name.lower()] = value
        length = 0 if head_only or status == 304 else int(fields["content-length"])
        return status, fields, self.file.read(length)

    def test_one_connection_many_requests(self):
        for _ in range(3):
            self.assertEqual(self.ask("/small.txt")[::2], (200, b"0123456789"))
            self.assertEqual(self.ask("/big.bin")[2], self.big)
            self.assertEqual(self.ask("/empty.txt")[::2], (200, b""))
        self.client.sendall(b"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n" * 5)  # one behind the other
        self.assertEqual([self.answer()[2] for _ in range(5)], [b"0123456789"] * 5)

    def test_head_and_types(self):
        status, fields, _ = self.ask("/small.txt", "HEAD")
        self.assertEqual((status, fields["content-length"], fields["content-type"]), (200, "10", "text/plain; charset=utf-8"))
        self.assertIsNotNone(email.utils.parsedate_to_datetime(fields["last-modified"]))
        self.assertEqual(self.ask("/big.bin", "HEAD")[1]["content-type"], "application/octet-stream")
        self.assertEqual(self.ask("/with%20space%20%26%20more.html")[2], b"<p>here</p>")

    def test_folders(self):
        self.assertEqual(self.ask("/folder")[1]["location"], "/folder/")
        self.assertEqual(self.ask("/folder/")[2], b"the index")
        self.assertIn(b"a&lt;b.txt", self.ask("/list/")[2])
        self.assertEqual(self.ask("/folder/../small.txt?query")[2], b"0123456789")

    def test_ranges(self):
        for given, expected, said in (("0-3", b"0123", "0-3"), ("4-", b"456789", "4-9"), ("-2", b"89", "8-9"), ("8-100", b"89", "8-9"), ("-100", b"0123456789", "0-9")):
            status, fields, body = self.ask("/small.txt", Range=f"bytes={given}")
            self.assertEqual((status, body, fields["content-range"]), (206, expected, f"bytes {said}/10"), given)
        self.assertEqual(self.ask("/big.bin", Range="bytes=1000000-2000000")[2], self.big[1000000:2000001])
        for given in ("bytes=10-", "bytes=99-100", "bytes=-0"):
            status, fields, _ = self.ask("/small.txt", Range=given)
            self.assertEqual((status, fields["content-range"]), (416, "bytes */10"), given)
        for given in ("bytes=3-1", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes="):  # ignored
            self.assertEqual(self.ask("/small.txt", Range=given)[::2], (200, b"0123456789"), given)

    def test_what_is_known_is_not_sent(self):
        tag = self.ask("/small.txt")[1]["etag"]
        changed = self.ask("/small.txt")[1]["last-modified"]
        self.assertEqual(self.ask("/small.txt", If_None_Match=tag)[0], 304)
        self.assertEqual(self.ask("/small.txt", If_Modified_Since=changed)[0], 304)
        self.assertEqual(self.ask("/small.txt", If_None_Match='"other"')[0], 200)
        self.assertEqual(self.ask("/small.txt", Range="bytes=0-1", If_Range=tag)[0], 206)
        self.assertEqual(self.ask("/small.txt", Range="bytes=0-1", If_Range='"other"')[::2], (200, b"0123456789"))

    def test_refusals_that_keep_the_connection(self):
        self.assertEqual(self.ask("/missing")[0], 404)
        self.assertEqual(self.ask("/pipe")[0], 403)
        status, fields, _ = self.ask("/small.txt", "DELETE")
        self.assertEqual((status, fields["allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.ask("/small.txt")[0], 200)

    def test_refusals_that_close_it(self):
        for text, expected in ((b"nonsense\r\n\r\n", 400), (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET /%2e%2e/%2e%2e/x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
                               (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400),
                               (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505), (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n", 414),
                               (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431), (b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", 400)):
            self.tearDown()
            self.setUp()
            self.client.sendall(text)
            status, fields, _ = self.answer()
            self.assertEqual((status, fields["connection"]), (expected, "close"), text[:60])

    def test_closing_is_as_the_client_wishes(self):
        self.assertEqual(self.ask("/small.txt", Connection="close")[1]["connection"], "close")
        self.assertEqual(self.file.read(), b"")
        self.setUp()
        self.assertEqual(self.ask("/small.txt", version="1.0")[1]["connection"], "close")
        self.setUp()
        self.assertNotIn("connection", self.ask("/small.txt", version="1.0", Connection="keep-alive")[1])
        self.assertEqual(self.ask("/small.txt")[0], 200)

    def test_its_own_client_and_curl(self):
        self.assertEqual(run("file-client", self.server.address, "/small.txt"), "0123456789")
        self.assertEqual(run("file-client", self.server.address, "/small.txt", "--range", "2-4"), "234")
        self.assertEqual(run("file-client", self.server.address, "/small.txt", "--clients", 20, "--requests", 50), "1000 answers, 10000 bytes\n")
        if shutil.which("curl"):
            url = f"http://{self.server.address}"
            got = subprocess.run(["curl", "-sS", "--noproxy", "*", "-r", "5-", f"{url}/big.bin"], capture_output=True, timeout=60, check=True).stdout
            self.assertEqual(got, self.big[5:])


@unittest.skipUnless("WEFT_CLI" in os.environ, "nothing can be preloaded in this build")
class PreloadedServersTest(unittest.TestCase):
    """Servers that use weft's own API, under `weft run`: both are the same library then."""

    @staticmethod
    def server(name, *words):
        return Server(name, *words, under=(program("weft-cli"), "run", "--"))

    def test_echo(self):
        for words in ([], ["--workers", 2], ["--workers", 2, "--processes"]):
            with self.subTest(words=words), self.server("echo-server", *words) as server:
                self.assertIn("50 of 50", run("echo-client", server.address, "--clients", 50, "--messages", 5))
                self.assertEqual(server.stop(), (0, "stopped\n", ""))

    def test_files(self):
        with tempfile.TemporaryDirectory(prefix="weft-samples-") as place:
            (pathlib.Path(place) / "small.txt").write_text("0123456789")
            with self.server("file-server", "--root", place) as server:
                with leaves_nothing(server):
                    self.assertIn("400 answers", run("file-client", server.address, "/small.txt", "--clients", 20, "--requests", 20))
                    rude(server.port, 0.5, 1)
                self.assertEqual(server.stop(signal.SIGINT), (0, "stopped\n", ""))

    def test_the_clients_too(self):
        with self.server("echo-server") as server:
            words = [program("weft-cli"), "run", "--", program("echo-client"), server.address, "--clients", "30", "--messages", "5"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=True)
            self.assertEqual((done.stdout, done.stderr), ("30 of 30 clients got back all of their 5 messages\n", ""))


def rude(port, seconds, seed):
    """A client that sends garbage, half requests, nothing at all, and goes in every way there is."""
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    whole = b"GET /small.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-5\r\n\r\n"
    count = 0
    while time.monotonic() < end:
        with socket.socket() as s:
            s.settimeout(5)
            try:
                s.connect(("127.0.0.1", port))
                kind = chance.randrange(7)
                if kind == 0:
                    s.sendall(chance.randbytes(chance.randrange(1, 2000)))
                elif kind == 1:
                    s.sendall(whole[: chance.randrange(len(whole))])
                elif kind == 2:
                    mangled = bytearray(whole)
                    mangled[chance.randrange(len(whole))] = chance.randrange(256)
                    s.sendall(mangled)
                elif kind == 3:
                    s.sendall(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
                    s.recv(1000)  # and not the rest
                elif kind == 4:
                    s.sendall(whole * 5)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
                elif kind == 5:
                    for byte in whole:
                        s.sendall(bytes([byte]))
                if chance.randrange(3) == 0:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            except OSError:
                pass
        count += 1
    return count


class LoadTest(unittest.TestCase):
    """wrk and the rude at the same time; afterwards the server is as it was."""
    seconds = 3

    def load(self, *words):
        seed = random.randrange(1 << 30)
        print(f"seed {seed}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="weft-samples-") as place:
            root = pathlib.Path(place)
            (root / "small.txt").write_text("0123456789" * 100)
            (root / "big.bin").write_bytes(bytes(2_000_000))
            with Server("file-server", "--root", root, *words) as server:
                for warm in range(2):
                    run("file-client", server.address, "/small.txt", "--clients", 80, "--requests", 5)
                    rude(server.port, 0.3, seed + 100 + warm)
                wait_until(lambda: self.calm(server), 30, "no clients are left")
                with leaves_nothing(server, growth_kib=GROWTH_KIB):
                    crowd = [threading.Thread(target=rude, args=(server.port, self.seconds, seed + i)) for i in range(4)]
                    for t in crowd:
                        t.start()
                    done = 0
                    if shutil.which("wrk"):
                        text = subprocess.run(["wrk", "-t1", "-c50", f"-d{self.seconds}s", "--timeout", "20s", f"http://{server.address}/small.txt"],
                                              capture_output=True, text=True, timeout=self.seconds + 60, check=True).stdout
                        print(text, file=sys.stderr)
                        done = int(re.search(r"(\d+) requests in", text)[1])
                        self.assertNotIn("Non-2xx", text)
                        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
                        self.assertTrue(errors is None or errors.groups() == ("0", "0", "0", "0"), text)
                        self.assertGreater(done, 100)
                    for t in crowd:
                        t.join()
                self.assertIn("1000 answers", run("file-client", server.address, "/small.txt", "--clients", 10, "--requests", 100))
                status, out, errors = server.stop()
                self.assertEqual((status, out, errors), (0, "stopped\n", ""))

    @staticmethod
    def calm(server):
        first = server.descriptors()
        time.sleep(0.2)
        return server.descriptors() == first

    def test_one_hub(self):
        self.load()

    def test_three_hubs(self):
        self.load("--workers", 3)


class LongLoadTest(LoadTest):
    seconds = 60


if __name__ == "__main__":
    unittest.main()
