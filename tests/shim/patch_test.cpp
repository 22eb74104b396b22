// SPDX-License-Identifier: Apache-2.0
// Switching families at run time, and asking what is switched.
#include "ticker.hpp"

#include <weft/patch.hpp>

#include <catch2/catch.hpp>

#include <dlfcn.h>

using namespace shim_test;

namespace {

/// How often other fibers came to run during a usleep of the main fiber.
int ticks_during_usleep() {
    ticker t;
    weft::this_fiber::yield();
    const int before = t.ticks();
    ::usleep(60000);
    return t.ticks() - before;
}

void* in_libc(const char* name) {
    void* libc = ::dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void* found = ::dlsym(libc, name);
    ::dlclose(libc);
    return found;
}

} // namespace

TEST_CASE("a linked program starts with every family but threads on") {
    for (const char* name : {"recv", "__recv_chk", "usleep", "getaddrinfo", "poll", "sigaction"}) {
        INFO(name);
        CHECK(weft::is_patched(name));
    }
    CHECK_FALSE(weft::is_patched("getpid"));
    CHECK_FALSE(weft::is_patched(""));
}

TEST_CASE("patch_all switches families while the program runs") {
    CHECK(ticks_during_usleep() > 0);
    weft::patch_all({.time = false});
    CHECK_FALSE(weft::is_patched("usleep"));
    CHECK_FALSE(weft::is_patched("sched_yield"));
    CHECK(weft::is_patched("recv"));
    CHECK(weft::is_patched("select"));
    CHECK(ticks_during_usleep() == 0);
    weft::patch_all();
    CHECK(weft::is_patched("usleep"));
    CHECK(ticks_during_usleep() > 0);
}

TEST_CASE("each family is switched on its own") {
    const std::pair<weft::patch_options, const char*> cases[] = {{{.io = false}, "read"},
                                                                 {{.time = false}, "nanosleep"},
                                                                 {{.dns = false}, "gethostbyname"},
                                                                 {{.poll = false}, "pselect"},
                                                                 {{.signal = false}, "signal"}};
    for (const auto& [options, off] : cases) {
        INFO(off);
        weft::patch_all(options);
        for (const auto& [ignored, name] : cases) CHECK(weft::is_patched(name) == (name != off));
    }
    weft::patch_all();
}

TEST_CASE("original is libc's own function") {
    for (const char* name : {"read", "recv", "poll", "usleep", "connect", "sigaction"}) {
        INFO(name);
        CHECK(weft::original(name) == in_libc(name));
    }
    CHECK(weft::original("read") != reinterpret_cast<void*>(&::read));
    CHECK(weft::original("no such call") == nullptr);
    const auto libc_write = reinterpret_cast<ssize_t (*)(int, const void*, std::size_t)>(weft::original("write"));
    pair p = pair::stream();
    CHECK(libc_write(p[1], "four", 4) == 4);
}

TEST_CASE("gevent_monkey_patch_all_is_module_patched_get_original") {
    weft::patch_all({.time = false});
    CHECK_FALSE(weft::is_patched("usleep")); // is_module_patched("time")
    weft::patch_all();
    REQUIRE(weft::is_patched("recv"));
    const auto original = reinterpret_cast<ssize_t (*)(int, void*, std::size_t, int)>(weft::original("recv")); // get_original
    pair p = pair::stream();
    char byte = 0;
    CHECK((original(p[0], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN));
    ticker t;
    auto late = weft::spawn_later(std::chrono::milliseconds(20), [&] { REQUIRE(::send(p[1], "x", 1, 0) == 1); });
    CHECK(::recv(p[0], &byte, 1, 0) == 1); // the patched one: other fibers run meanwhile
    CHECK(byte == 'x');
    CHECK(t.ticks() > 0);
    late.join();
}
