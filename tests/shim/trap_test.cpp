// SPDX-License-Identifier: Apache-2.0
// System calls by instruction while all code of fibers is trapped.
#include "ticker.hpp"
#include "trap_test.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

using namespace shim_test;

namespace {

/// The option is read when the shim starts: the program runs itself again with it.
[[gnu::constructor]] void trap_this_program(int, char** argv) {
    if (std::getenv("WEFT_TRAP") != nullptr) return;
    ::setenv("WEFT_TRAP", "1", 1);
    ::execv("/proc/self/exe", argv);
}

long address(const void* p) { return reinterpret_cast<long>(p); }

long raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
    return by_instruction(number, a, b, c, d, e, f);
}

char text[256];

void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

} // namespace

TEST_CASE("an inline read lets other fibers run") {
    pair p = pair::stream();
    const outcome o = in_fiber([&] { return raw(SYS_read, p[0], address(text), 100); },
                               [&] { CHECK(::write(p[1], "hello", 5) == 5); });
    CHECK(o.result == 5);
    CHECK(std::memcmp(text, "hello", 5) == 0);
    CHECK(o.error == 0);
    check_blocked(o);
}

TEST_CASE("an inline sleep lets other fibers run") {
    const timespec t{0, 60000000};
    const outcome o = in_fiber([&] { return raw(SYS_nanosleep, address(&t)); });
    CHECK(o.result == 0);
    check_blocked(o);
}
