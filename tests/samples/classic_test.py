# SPDX-License-Identifier: Apache-2.0
"""The classic problems, in fibers, as threads, and as threads under `weft run`: they end, and say the same."""
import os
import subprocess
import unittest

from running import program, run

CASES = {
    "producer-consumer": ([[], ["--producers", "1", "--consumers", "7", "--places", "1"], ["--producers", "50", "--consumers", "50", "--items", "20", "--places", "3"]],
                          ": all of them, once\n"),
    "smokers": ([[], ["--rounds", "0"], ["--seed", "7", "--rounds", "300"]], ", each by the one who could\n"),
    "readers-writers": ([[], ["--readers", "0"], ["--readers", "100", "--writers", "20", "--times", "10"]], "who wrote was alone\n"),
    "philosophers": ([[], ["--philosophers", "2"], ["--philosophers", "200", "--meals", "10"]], ", never two neighbours at once\n"),
}


def preloaded(name, words):
    done = subprocess.run([program("weft-cli"), "run", "--", program(name), *words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{name} under weft ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class ClassicTest(unittest.TestCase):
    def test_in_fibers(self):
        for name, (calls, end) in CASES.items():
            for words in calls:
                with self.subTest(name=name, words=words):
                    self.assertTrue(run(f"classic-{name}", *words).endswith(end))

    def test_readers_are_there_together(self):
        self.assertIn("2000 reads, 500 writes; readers were there together", run("classic-readers-writers"))

    def test_a_deadlock_is_named(self):
        out = run("classic-philosophers", "--greedy", "--philosophers", "3")
        self.assertIn("nothing is left that could wake anyone", out)
        self.assertEqual(out.count("(philosopher) waits for a mutex"), 3)


class PlainTest(unittest.TestCase):
    def test_bare_and_preloaded(self):
        for name, (calls, end) in CASES.items():
            for words in calls:
                with self.subTest(name=name, words=words):
                    bare = run(f"plain-{name}", *words)
                    self.assertTrue(bare.endswith(end))
                    if "WEFT_CLI" in os.environ:
                        here = preloaded(f"plain-{name}", words)
                        if name == "readers-writers":  # who met whom is chance
                            bare, here = (text.split(";")[0] for text in (bare, here))
                        self.assertEqual(here, bare)


if __name__ == "__main__":
    unittest.main()
