#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that each check of this folder finds what it is for, on planted offences, and nothing in what is right."""
import os
import pathlib
import subprocess
import tempfile
import unittest

import exported_symbols
import include_direction
import libc_names
import parity_table
import public_header

COMPILER = os.environ.get("CXX", "g++")


class in_a_folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-checks-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)


class include_direction_test(in_a_folder):
    def offences(self):
        return list(include_direction.offences(self.root))

    def test_downwards_is_right(self):
        self.write("include/weft/a.hpp", "#include <vector>\n")
        self.write("runtime/core/hub.hpp", "#include <weft/a.hpp>\n#include <unistd.h>\n")
        self.write("runtime/sync/mutex.cpp", '#include "core/hub.hpp"\n')
        self.write("runtime/core/watcher.cpp", "#include <ev.h>\n")
        self.write("runtime/core/context.hpp", "#include <boost/context/detail/fcontext.hpp>\n")
        self.write("shim/core/real.hpp", "")
        self.write("shim/calls/io.cpp", '#include "core/real.hpp"\n#include "core/hub.hpp"\n#include "sync/mutex.cpp"\n')
        self.assertEqual(self.offences(), [])

    def test_upwards_is_found(self):
        self.write("runtime/sync/mutex.hpp", "")
        self.write("runtime/core/hub.cpp", '\n#include "sync/mutex.hpp"\n')
        self.assertEqual(self.offences(), ["runtime/core/hub.cpp:2: core must not see sync (sync/mutex.hpp)"])

    def test_sideways_is_found(self):
        self.write("runtime/work/pool.hpp", "")
        self.write("runtime/net/server.cpp", '#include "work/pool.hpp"\n')
        self.assertEqual(len(self.offences()), 1)

    def test_public_header_that_sees_the_runtime_is_found(self):
        self.write("runtime/core/hub.hpp", "")
        self.write("include/weft/fiber.hpp", '#include "../../runtime/core/hub.hpp"\n')
        self.assertEqual(len(self.offences()), 1)

    def test_runtime_that_sees_the_shim_is_found(self):
        self.write("shim/core/gate.hpp", "")
        self.write("runtime/inspect/monitor.cpp", '#  include <core/gate.hpp>\n')
        self.write("runtime/core/fork.cpp", '#include "../../shim/core/gate.hpp"\n')
        self.assertEqual(len(self.offences()), 2)

    def test_libev_and_boost_context_elsewhere_are_found(self):
        self.write("runtime/core/hub.cpp", "#include <ev.h>\n#include <boost/context/fiber.hpp>\n")
        self.write("include/weft/hub.hpp", "#include <ev.h>\n")
        self.assertEqual(len(self.offences()), 3)

    def test_new_room_without_a_rule_is_found(self):
        self.write("runtime/attic/old.cpp", "")
        self.assertEqual(len(self.offences()), 1)


class parity_table_test(in_a_folder):
    def offences(self, *rows, cases=("known",)):
        self.write("include/weft/a.hpp", "")
        self.write("tests/unit/parity_a_test.cpp", "".join(f'TEST_CASE("{c}") {{}}\n' for c in cases))
        self.write("tests/b_test.py", "class ThatTest(TestCase):\n    def test_this(self):\n")
        self.write("README.md", "\n".join(["x", parity_table.BEGIN, "| there | here | where | test |", "| - | - | - | - |", *rows, parity_table.END, ""]))
        return list(parity_table.offences(self.root))

    KNOWN = "| a | `b` | [`<weft/a.hpp>`](include/weft/a.hpp) | [`known`](tests/unit/parity_a_test.cpp) |"

    def test_what_is_there_is_right(self):
        self.assertEqual(self.offences(self.KNOWN), [])
        scripts = "| c | d | [`a`](include/weft/a.hpp) | [`test_this`](tests/b_test.py), [`ThatTest`](tests/b_test.py) |"
        self.assertEqual(self.offences(self.KNOWN, scripts), [])

    def test_what_is_missing_is_found(self):
        self.assertEqual(len(self.offences()), 2)  # no rows, and a case that nobody names
        self.assertEqual(self.offences(self.KNOWN.replace("include/weft/a.hpp", "include/weft/b.hpp")), ["no such file: include/weft/b.hpp"])
        self.assertEqual(self.offences(self.KNOWN, self.KNOWN.replace("`known`", "`know`")), ["no such case: know in tests/unit/parity_a_test.cpp"])
        self.assertEqual(self.offences(self.KNOWN, cases=("known", "other")), ["not in the table: other of parity_a_test.cpp"])
        self.assertEqual(self.offences(self.KNOWN, "| c | d | e | f |"), ["no place: c", "no test: c"])
        self.assertEqual(len(self.offences(self.KNOWN, "| c | d |")), 1)


class public_header_test(in_a_folder):
    def offences(self, text, name="weft/a.hpp"):
        self.write(name, text)
        return public_header.offences(name, [COMPILER, "-std=c++20", "-Wall", f"-I{self.root}"])

    def test_complete_header_is_right(self):
        self.assertEqual(self.offences(
            "#pragma once\n/// A.\n///\n/// @code\n/// #include <map>\n/// std::map<int, long> m{{1, twice(2)}};\n"
            "/// @endcode\ninline int twice(int n) { return 2 * n; }\n"), [])

    def test_whole_program_and_block_comment_are_right(self):
        self.assertEqual(self.offences(
            "#pragma once\n/**\n * @code{.cpp}\n * int main() {\n *     int* p = nullptr;\n *     return p ? 1 : twice(1);\n"
            " * }\n * @endcode\n */\ninline int twice(int n) { return 2 * n; }\n"), [])

    def test_missing_include_is_found(self):
        found = self.offences("#pragma once\n/// @code\n/// @endcode\ninline std::string s;\n")
        self.assertIn("does not compile alone", found[0])

    def test_missing_pragma_once_is_found(self):
        found = self.offences("/// @code\n/// @endcode\ninline int n = 0;\n")
        self.assertIn("does not compile alone", found[0])

    def test_missing_example_is_found(self):
        self.assertEqual(self.offences("#pragma once\n"), ["weft/a.hpp: has no example (@code ... @endcode)"])

    def test_detail_needs_no_example(self):
        self.assertEqual(self.offences("#pragma once\n", "weft/detail/a.hpp"), [])

    def test_wrong_example_is_found(self):
        found = self.offences("#pragma once\n/// @code\n/// thrice(2);\n/// @endcode\ninline int twice(int n) { return n; }\n")
        self.assertIn("example 1 does not compile", found[0])

    def test_header_that_weft_hpp_leaves_out_is_found(self):
        self.write("weft/a.hpp", "#pragma once\n")
        self.write("weft/b.hpp", "#pragma once\n")
        found = self.offences("#pragma once\n#include <weft/b.hpp>\n/// @code\n/// @endcode\n", "weft/weft.hpp")
        self.assertEqual(found, ["weft/weft.hpp: does not include weft/a.hpp"])

    def test_second_wrong_example_is_found(self):
        found = self.offences("#pragma once\n/// @code\n/// int n = 1;\n/// @endcode\n/// @code\n/// n = 1;\n/// @endcode\n")
        self.assertIn("example 2 does not compile", found[0])


class exported_symbols_test(in_a_folder):
    def library(self, source, *flags):
        path = self.write("unit.cpp", source)
        out = str(self.root / "libunit.so")
        subprocess.run([COMPILER, "-shared", "-fPIC", path, "-o", out, *flags], check=True)
        return out

    RIGHT = "namespace weft { struct a { virtual ~a(); }; a::~a() {} } extern \"C\" int weft_version() { return 1; }\n"

    def test_own_names_are_right(self):
        self.assertEqual(exported_symbols.offences("runtime", self.library(self.RIGHT)), [])

    def test_stray_names_are_found(self):
        library = self.library(self.RIGHT + "int helper; namespace weftish { void f() {} } extern \"C\" int my_weft_x;\nint my_weft_x;\n")
        self.assertEqual(len(exported_symbols.offences("runtime", library)), 3)

    CALLS = "// WEFT_CALL(gone, io)\nWEFT_CALL(read, io)\n  WEFT_CALL(__read_chk, io, fortified)\n"
    DEFINED = "extern \"C\" { int read() { return 0; } int __read_chk() { return 0; } }\n"

    def shim(self, source, calls=CALLS, script=None, *flags):
        return exported_symbols.offences("shim", self.library(source, *flags), self.write("calls.def", calls),
                                         script and self.write("exports.map", script))

    def test_table_and_library_that_agree_are_right(self):
        script = "{ global: read; __read_chk; weft_*; extern \"C++\" { weft::*; }; local: *; };"
        self.assertEqual(self.shim(self.RIGHT + self.DEFINED, self.CALLS, script), [])

    def test_missing_and_extra_calls_are_found(self):
        self.assertEqual(self.shim("extern \"C\" { int read() { return 0; } int write() { return 0; } }"),
                         ["write: exported, but not in the table", "__read_chk: in the table, but not exported"])

    def test_script_that_disagrees_is_found(self):
        self.assertEqual(self.shim(self.DEFINED, self.CALLS, "{ global: read; recv; local: *; };"),
                         ["recv: in the version script, but not in the table",
                          "__read_chk: in the table, but not in the version script"])

    def test_named_version_is_found(self):
        script = self.write("named.map", "WEFT_1 { global: read; __read_chk; local: *; };")
        found = self.shim(self.DEFINED, self.CALLS, None, f"-Wl,--version-script={script}")
        self.assertIn("read@@WEFT_1: has a version", found)

    def test_call_that_is_listed_twice_is_found(self):
        self.assertEqual(self.shim(self.DEFINED, self.CALLS + "WEFT_CALL(read, io)\n"), ["read: twice in the table"])

    def test_empty_table_is_found(self):
        self.assertEqual(self.shim("int read_nothing() { return 0; } extern \"C\" int weft_x() { return 0; }", "")[0],
                         f"{self.root}/calls.def: names no call")


class libc_names_test(in_a_folder):
    LIBC = {"read", "pause", "strlen"}

    def offences(self, calls="WEFT_CALL(read, io)\n", may_wait='WEFT_MAY_WAIT(read, io, "")\nWEFT_MAY_WAIT(pause, signal, "why")\n',
                 never="[why]\nstrlen\n", version=(2, 36), still_open=()):
        return libc_names.offences(libc_names.named(self.write("calls.def", calls), "WEFT_CALL"),
                                   libc_names.named(self.write("may_wait.def", may_wait), "WEFT_MAY_WAIT"),
                                   libc_names.listed(self.write("never.txt", never)), self.LIBC, version, still_open)

    def test_a_complete_list_is_right(self):
        self.assertEqual(self.offences(), ([], [], []))

    def test_a_gap_is_found_or_said(self):
        gap = 'WEFT_MAY_WAIT(read, io, "")\nWEFT_MAY_WAIT(pause, signal, "")\n'
        self.assertEqual(self.offences(may_wait=gap)[0], ["pause: may wait, and is neither served nor excused"])
        self.assertEqual(self.offences(may_wait=gap, still_open=("signal",))[:2], ([], ["pause"]))

    def test_a_name_that_nobody_classified_is_found(self):
        self.assertEqual(self.offences(never="")[0], ["strlen: exported by libc, and nobody says whether it waits"])
        self.assertEqual(self.offences(never="", version=(2, 41)), ([], [], ["strlen"]))

    def test_a_contradiction_is_found(self):
        self.assertEqual(self.offences(never="strlen pause\n")[0], ["pause: said to wait, and to never wait"])

    def test_a_call_that_libc_has_not_is_found(self):
        self.assertEqual(self.offences(calls="WEFT_CALL(read, io)\nWEFT_CALL(reed, io)\n")[0],
                         ["reed: in the table of calls, but libc exports no such function"])


if __name__ == "__main__":
    unittest.main()
