// SPDX-License-Identifier: Apache-2.0
// Nothing left that could wake anyone. Each case in a child process, whose main thread is then a real one without a past.
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/timeout.hpp>

#include "core/options.hpp"
#include "core/readiness.hpp"
#include "core/registry.hpp"
#include "support/child_process.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;
using test_support::must;
using test_support::run_in_child;

namespace {

using weft::rt::waiter;

/// Waits for a wake that never comes.
void wait_for_ever(const char* what) {
    for (;;) {
        weft::rt::interruption_point();
        waiter w(what);
        if (weft::rt::deadline_reached(w.suspend())) return;
    }
}

/// What deadlock_error says to main while `fn` runs there; "" if it was not thrown.
template <class F>
std::string told(F fn) {
    try {
        fn();
    } catch (const weft::deadlock_error& e) {
        return e.what();
    }
    return "";
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

template <class F>
void passes(F fn) {
    const auto r = run_in_child(fn, 30s);
    INFO(r.err);
    CHECK(r.exit_code() == 0);
}

/// The same for what needs a deadlock to be told in a process that has made threads. TSan's own kernel thread is then not counted right in
/// a child of fork, where these run: it looks like a stranger that may wake somebody, so none is told.
template <class F>
void passes_where_told([[maybe_unused]] F fn) {
#if defined(__SANITIZE_THREAD__)
    WARN("left out under TSan");
#else
    passes(fn);
#endif
}

} // namespace

TEST_CASE("deadlock_names_the_waiters_and_what_they_wait_for") {
    passes([] {
        auto a = weft::spawn({.name = "alpha"}, [] { wait_for_ever("a lost letter"); });
        auto b = weft::spawn({.name = "beta"}, [a] { a.join(); });
        const std::string what = told([&] { b.join(); });
        dprintf(2, "%s", what.c_str());
        must(has(what, "alpha"));
        must(has(what, "a lost letter"));
        must(has(what, "beta"));
        must(has(what, "the end of a fiber"));
        must(has(what, "main"));
        must(has(what, std::to_string(a.id())));
        must(has(what, std::to_string(weft::this_fiber::id())));
    });
}

TEST_CASE("deadlock_is_a_logic_error_and_may_be_survived") {
    passes([] {
        auto a = weft::spawn([] { wait_for_ever("nothing"); });
        for (int i = 0; i < 3; ++i) must(told([&] { a.join(); }) != "");
        a.kill();
        must(a.dead());
        must(weft::spawn([] { return 4; }).get() == 4);
        must(told([] { wait_for_ever("me"); }) != "");
        static_assert(std::is_base_of_v<std::logic_error, weft::deadlock_error>);
    });
}

TEST_CASE("deadlock_of_every_call_that_waits") {
    passes([] {
        auto a = weft::spawn([] { wait_for_ever("nothing"); });
        must(told([&] { a.get(); }) != "");
        must(told([&] { weft::joinall({a}); }) != "");
        must(told([&] { weft::wait({weft::waitable(a)}); }) != "");
        must(told([&] { weft::gather(a); }) != "");
        weft::idle(); // is no deadlock
    });
}

TEST_CASE("wait_and_hub_join_return_instead") {
    passes([] {
        auto a = weft::spawn([] { wait_for_ever("nothing"); });
        weft::wait();
        must(!a.ready());
        must(weft::hub::current().join());
        auto b = weft::spawn([a] { return weft::wait(), a.ready(); }); // in a fiber, main stuck
        must(told([&] { must(!b.get()); }) == "");
        must(told([&] { a.join(); }) != "");
    });
}

TEST_CASE("no_deadlock_while_a_timer_runs") {
    passes([] {
        auto sleeper = weft::spawn([] { weft::this_fiber::sleep_for(100ms); });
        must(told([&] { sleeper.join(); }) == "");
        auto later = weft::spawn_later(50ms, [] {});
        must(told([&] { later.join(); }) == "");
        auto stuck = weft::spawn([] { wait_for_ever("nothing"); });
        must(told([&] { must(!stuck.join(50ms)); }) == "");
        const weft::timeout limit(50ms);
        bool timed_out = false;
        try {
            stuck.join();
        } catch (const weft::timeout_error& e) {
            timed_out = e.is(limit);
        }
        must(timed_out);
    });
}

TEST_CASE("no_deadlock_while_a_descriptor_is_awaited") {
    passes([] {
        int ends[2];
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        if (fork() == 0) { // whoever writes need not be in this process
            usleep(200'000);
            must(write(ends[1], "x", 1) == 1);
            _exit(0);
        }
        const int fd = ends[0];
        auto reader = weft::spawn([fd] { weft::rt::readiness::wait(fd, EPOLLIN, {}); });
        must(told([&] { reader.join(); }) == "");
        must(told([&] { wait_for_ever("now nothing"); }) != "");
    });
}

TEST_CASE("no_deadlock_while_a_foreign_thread_lives") {
    passes([] {
        std::promise<weft::any_fiber> made;
        auto a = weft::spawn([] { wait_for_ever("a stranger"); });
        std::thread stranger([a] {
            std::this_thread::sleep_for(400ms);
            a.kill_async();
        });
        must(told([&] { a.join(); }) == "");
        must(a.dead());
        stranger.join();
    });
}

TEST_CASE("deadlock_when_the_foreign_thread_has_ended_without_waking") {
    passes_where_told([] {
        auto a = weft::spawn([] { wait_for_ever("a stranger"); });
        std::thread stranger([] { std::this_thread::sleep_for(300ms); });
        const auto begin = std::chrono::steady_clock::now();
        must(told([&] { a.join(); }) != "");
        must(std::chrono::steady_clock::now() - begin >= 250ms);
        stranger.join();
    });
}

TEST_CASE("no_deadlock_while_a_job_is_in_flight") {
    passes([] {
        auto a = weft::spawn([] { wait_for_ever("a job"); });
        weft::rt::job_begins();
        std::thread helper([a] {
            const weft::rt::helper_thread mark;
            std::this_thread::sleep_for(300ms);
            a.kill_async();
            weft::rt::job_ends();
        });
        must(told([&] { a.join(); }) == "");
        helper.join();
    });
}

TEST_CASE("deadlock_when_the_job_has_ended_without_waking") {
    passes_where_told([] {
        auto a = weft::spawn([] { wait_for_ever("a job"); });
        weft::rt::job_begins();
        std::atomic<bool> stop{false};
        std::thread helper([&stop] {
            const weft::rt::helper_thread mark;
            std::this_thread::sleep_for(100ms);
            weft::rt::job_ends();
            while (!stop) std::this_thread::sleep_for(1ms);
        });
        must(told([&] { a.join(); }) != "");
        stop = true;
        helper.join();
    });
}

TEST_CASE("no_deadlock_while_another_hub_may_wake") {
    passes([] {
        auto a = weft::spawn([] { wait_for_ever("another hub"); });
        std::thread other([a] {
            weft::spawn([a] {
                weft::this_fiber::sleep_for(300ms);
                a.kill();
            }).join();
        });
        must(told([&] { a.join(); }) == "");
        other.join();
    });
}

TEST_CASE("deadlock_of_two_hubs_is_told_to_main") {
    passes_where_told([] {
        std::promise<weft::any_fiber> made;
        auto handle = made.get_future();
        std::thread other([&made] {
            auto f = weft::spawn({.name = "far one"}, [] { wait_for_ever("something far"); });
            made.set_value(f);
            f.join();
        });
        auto far = handle.get();
        std::string what = told([&] { far.join(); });
        dprintf(2, "%s", what.c_str());
        must(has(what, "far one"));
        must(has(what, "something far"));
        auto near = weft::spawn({.name = "near one"}, [] { wait_for_ever("something near"); });
        what = told([&] { near.join(); });
        must(has(what, "near one"));
        must(has(what, "far one"));
        far.kill();
        other.join();
    });
}

TEST_CASE("deadlock_after_the_other_hub_has_ended") {
    passes_where_told([] {
        auto a = weft::spawn([] { wait_for_ever("another hub"); });
        std::thread other([] { weft::spawn([] { weft::this_fiber::sleep_for(200ms); }).join(); });
        must(told([&] { a.join(); }) != "");
        other.join();
    });
}

TEST_CASE("wait_on_another_hub_returns_when_all_are_stuck") {
    passes_where_told([] {
        std::atomic<bool> returned{false};
        std::optional<weft::any_fiber> stuck;
        std::thread other([&] {
            stuck = weft::spawn([] { wait_for_ever("nothing"); });
            weft::wait();
            returned = true;
        });
        auto a = weft::spawn([] { wait_for_ever("nothing"); });
        const std::string what = told([&] { a.join(); });
        other.join();
        must(returned);
        must(what != "");
    });
}

TEST_CASE("deadlock_of_a_preloaded_program_is_only_spoken_of") {
    const auto r = run_in_child([] {
        weft::rt::process_options().preloaded = weft::rt::process_options().verbose = true;
        ::alarm(2); // it waits for ever, as it would bare
        weft::spawn({.name = "alpha"}, [] { wait_for_ever("a lost letter"); }).join();
    });
    INFO(r.err);
    CHECK(r.signal() == SIGALRM);
    CHECK(has(r.err, "nothing is left that could wake anyone"));
    CHECK(has(r.err, "(alpha) waits for a lost letter"));
}
