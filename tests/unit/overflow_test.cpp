// SPDX-License-Identifier: Apache-2.0
// Memory faults in fibers. Sanitizers report these themselves, in their own words: left out there.
#include <weft/fiber.hpp>

#include "support/child_process.hpp"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <atomic>
#include <thread>

#include <sys/mman.h>

using test_support::run_in_child;

namespace {

[[gnu::noinline]] int descend(int n) { // NOLINT(misc-no-recursion)
    volatile char frame[512];
    frame[0] = static_cast<char>(n);
    return n < 0 ? 0 : descend(n + 1) + frame[0];
}

[[gnu::noinline]] void touch_null() {
    volatile int* volatile p = nullptr;
    *p = 1;
}

} // namespace

TEST_CASE("overflow_names_the_fiber_and_dies_by_sigsegv") {
    const auto r = run_in_child([] {
        auto f = weft::spawn({.name = "deep one", .stack_size = 64 * 1024}, [] { return descend(0); });
        dprintf(2, "id=%d;", static_cast<int>(f.id()));
        f.join();
    });
    CHECK(r.signal() == SIGSEGV);
    const std::string id = r.err.substr(3, r.err.find(';') - 3);
    CHECK(r.err.find("stack overflow in fiber " + id + " (deep one)") != std::string::npos);
    CHECK(r.err.find("64 KiB") != std::string::npos);
    CHECK(r.err.find("overflow_test") != std::string::npos); // a frame
}

TEST_CASE("overflow_on_another_thread_is_named_too") {
    const auto r = run_in_child([] {
        std::thread([] {
            weft::spawn({.name = "far", .stack_size = 32 * 1024}, [] { return descend(0); }).join();
        }).join();
    });
    CHECK(r.signal() == SIGSEGV);
    CHECK(r.err.find("(far)") != std::string::npos);
}

TEST_CASE("a_null_dereference_dies_by_sigsegv_without_our_message") {
    const auto r = run_in_child([] { weft::spawn(touch_null).join(); });
    CHECK(r.signal() == SIGSEGV);
    CHECK(r.err == "");
    const auto outside = run_in_child([] {
        weft::spawn([] {}).join();
        touch_null();
    });
    CHECK(outside.signal() == SIGSEGV);
    CHECK(outside.err == "");
}

TEST_CASE("a_sigsegv_that_was_sent_kills_as_ever") {
    const auto r = run_in_child([] {
        weft::spawn([] { raise(SIGSEGV); }).join();
        _exit(1);
    });
    CHECK(r.signal() == SIGSEGV);
    CHECK(r.err == "");
}

TEST_CASE("the_programs_own_sigsegv_handler_stays") {
    const auto r = run_in_child([] {
        signal(SIGSEGV, [](int) { _exit(42); });
        weft::spawn(touch_null).join();
    });
    CHECK(r.exit_code() == 42);
    const auto later = run_in_child([] { // installed after weft's
        weft::spawn([] {}).join();
        signal(SIGSEGV, [](int) { _exit(43); });
        weft::spawn(touch_null).join();
    });
    CHECK(later.exit_code() == 43);
}

TEST_CASE("the_programs_own_alternate_stack_stays") {
    const auto r = run_in_child([] {
        static char memory[65536];
        stack_t mine{};
        mine.ss_sp = memory;
        mine.ss_size = sizeof memory;
        sigaltstack(&mine, nullptr);
        weft::spawn([] {}).join();
        stack_t now{};
        sigaltstack(nullptr, &now);
        test_support::must(now.ss_sp == memory);
    });
    CHECK(r.exit_code() == 0);
}

#else

TEST_CASE("overflow_is_left_to_the_sanitizer") {
    SUCCEED();
}

#endif
