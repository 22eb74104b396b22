// SPDX-License-Identifier: Apache-2.0
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/timeout.hpp>

#include "core/readiness.hpp"
#include "support/child_process.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

using namespace std::chrono_literals;
using test_support::must;
using test_support::must_throw;

#if defined(__SANITIZE_THREAD__)
// In a child of a process with several threads, as which it counts fibers, TSan no longer follows synchronisation but still
// reports races, all of them false. What it can see of the core it sees in the other tests.
extern "C" const char* __tsan_default_suppressions() {
    return "race:libweft\nrace:fork_test\n";
}
#endif

namespace {

/// Waits for a child of fork(): its exit code, or minus its signal.
int outcome(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// What must work in a child: turns, timers, descriptors, kill.
void works() {
    must(weft::spawn([] { return 5; }).get() == 5);
    const auto begin = std::chrono::steady_clock::now();
    weft::this_fiber::sleep_for(3ms);
    must(std::chrono::steady_clock::now() - begin >= 3ms);
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    weft::rt::readiness::opened(ends[0]);
    auto reader = weft::spawn([fd = ends[0]] { return weft::rt::readiness::wait(fd, EPOLLIN, 20s); });
    weft::this_fiber::yield();
    must(send(ends[1], "x", 1, 0) == 1);
    must(reader.get() == weft::rt::fd_wake::ready);
    auto killed = weft::spawn([] { weft::this_fiber::sleep_for(1h); });
    weft::this_fiber::yield();
    must(killed.kill(20s));
}

template <class F>
pid_t fork_and(F in_child) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        in_child();
        _exit(0);
    }
    return child;
}

} // namespace

TEST_CASE("fork_from_main_gives_a_fresh_loop") {
    auto sleeper = weft::spawn([] {
        weft::this_fiber::sleep_for(50ms);
        return 1;
    });
    auto fresh = weft::spawn([] { return 2; });
    weft::this_fiber::yield();
    auto unstarted = weft::spawn([] { return 3; });
    const std::uint64_t me = weft::this_fiber::id();
    const pid_t child = fork_and([&] {
        must(weft::this_fiber::id() == me);
        must(weft::this_fiber::name() == "main");
        must(weft::hub::current().fibers().size() == 1);
        must(sleeper.dead() && !sleeper.successful());
        must_throw<weft::fiber_killed>([&] { sleeper.get(); });
        must_throw<weft::fiber_killed>([&] { unstarted.get(); });
        must(fresh.get() == 2); // had ended before
        must(sleeper.kill());
        works();
    });
    CHECK(outcome(child) == 0);
    CHECK(sleeper.get() == 1); // the parent goes on
    CHECK(unstarted.get() == 3);
}

TEST_CASE("fork_from_a_fiber_makes_it_the_childs_main") {
    auto other = weft::spawn([] { weft::this_fiber::sleep_for(20ms); });
    const weft::any_fiber parents_main = weft::this_fiber::self();
    pid_t child = -1;
    auto f = weft::spawn([&] {
        child = fork_and([&] {
            must(weft::this_fiber::name() == "main");
            must(weft::hub::current().fibers().size() == 1);
            must_throw<weft::fiber_killed>([&] { static_cast<const weft::fiber<void>&>(other).get(); });
            must(parents_main.dead());
            works();
        });
        return 1;
    });
    CHECK(f.get() == 1);
    CHECK(other.join(20s));
    CHECK(other.successful());
    CHECK(outcome(child) == 0);
}

TEST_CASE("child_ends_when_the_fiber_that_forked_returns") {
    std::atexit([] { dprintf(2, "atexit;"); });
    const auto ended = [](bool fails) {
        return test_support::run_in_child([fails] {
            weft::spawn([fails] {
                const pid_t child = fork();
                if (child != 0) {
                    must(outcome(child) == (fails ? 1 : 0));
                    _exit(0);
                }
                alarm(60);
                weft::this_fiber::sleep_for(1ms);
                dprintf(2, "returns;");
                if (fails) throw std::runtime_error("child's end");
            }).join();
            dprintf(2, "never here in the child;");
        });
    };
    const auto fine = ended(false);
    CHECK(fine.exit_code() == 0);
    CHECK(fine.err == "returns;atexit;");
    const auto failed = ended(true);
    CHECK(failed.exit_code() == 0);
    CHECK(failed.err.find("child's end") != std::string::npos);
}

TEST_CASE("fork_beside_other_hubs") {
    std::atomic<bool> stop{false};
    std::atomic<bool> ready{false};
    weft::any_fiber far;
    std::thread other([&] {
        far = weft::spawn([&] {
            while (!stop) weft::this_fiber::sleep_for(100us);
        });
        ready = true;
        far.join();
    });
    while (!ready) weft::this_fiber::sleep_for(100us);
    for (int i = 0; i < 10; ++i) {
        const pid_t child = fork_and([&] {
            must(far.dead());
            must(far.join(20s));
            works();
        });
        CHECK(outcome(child) == 0);
    }
    stop = true;
    other.join();
    CHECK(far.successful());
}

TEST_CASE("fork_from_a_thread_without_a_hub") {
    auto far = weft::spawn([] { weft::this_fiber::sleep_for(1h); });
    weft::this_fiber::yield();
    std::atomic<int> how{-99};
    std::thread plain([&] {
        how = outcome(fork_and([&] {
            must(far.dead());
            works();
        }));
    });
    while (how == -99) weft::this_fiber::sleep_for(1ms);
    plain.join();
    CHECK(how == 0);
    CHECK_FALSE(far.ready());
}

TEST_CASE("fork_from_another_threads_fiber") {
    std::atomic<int> how{-99};
    std::thread other([&] { weft::spawn([&] { how = outcome(fork_and(works)); }).join(); });
    other.join();
    CHECK(how == 0);
}

TEST_CASE("timeouts_in_force_stay_across_fork") {
    weft::timeout outer(30ms);
    weft::timeout cancelled(1ms);
    cancelled.cancel();
    const pid_t child = fork_and([&] {
        bool timed_out = false;
        try {
            weft::this_fiber::sleep_for(20s);
        } catch (const weft::timeout_error& e) {
            timed_out = e.is(outer);
        }
        must(timed_out);
        weft::this_fiber::sleep_for(1ms);
        must(weft::hub::current().stats().timers == 0);
    });
    bool timed_out = false;
    try {
        weft::this_fiber::sleep_for(20s);
    } catch (const weft::timeout_error& e) {
        timed_out = e.is(outer);
    }
    CHECK(timed_out);
    CHECK(outcome(child) == 0);
}

TEST_CASE("a_childs_descriptors_do_not_disturb_the_parents_waits") {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    auto reader = weft::spawn([fd = ends[0]] { return weft::rt::readiness::wait(fd, EPOLLIN, 20s); });
    weft::this_fiber::yield();
    weft::this_fiber::sleep_for(1ms);
    const pid_t child = fork_and([&] {
        weft::rt::readiness::closing(ends[0]); // must not leave the parent's set
        close(ends[0]);
        int own[2];
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, own) == 0);
        weft::rt::readiness::opened(own[0]);
        must(weft::rt::readiness::wait(own[0], EPOLLIN, 5ms) == weft::rt::fd_wake::deadline);
        works();
    });
    CHECK(outcome(child) == 0);
    CHECK_FALSE(reader.ready());
    REQUIRE(send(ends[1], "x", 1, 0) == 1);
    CHECK(reader.get() == weft::rt::fd_wake::ready);
    close(ends[0]);
    close(ends[1]);
}

TEST_CASE("children_of_children") {
    const pid_t child = fork_and([] {
        works();
        weft::spawn([] {
            const pid_t grandchild = fork_and(works);
            must(outcome(grandchild) == 0);
            works();
        }).join();
    });
    CHECK(outcome(child) == 0);
}

TEST_CASE("exec_leaves_no_descriptor_of_ours_open") {
    weft::this_fiber::sleep_for(1ms);
    std::thread([] { weft::spawn([] { weft::this_fiber::sleep_for(1ms); }).join(); }).join();
    int checked = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
        const bool ours = target.find("eventpoll") != std::string::npos ||
                          target.find("timerfd") != std::string::npos || target.find("eventfd") != std::string::npos;
        if (!ours) continue;
        ++checked;
        const int flags = fcntl(std::stoi(entry.path().filename().string()), F_GETFD);
        INFO(target);
        CHECK((flags & FD_CLOEXEC) != 0);
    }
    CHECK(checked >= 3);
}
