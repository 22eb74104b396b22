// SPDX-License-Identifier: Apache-2.0
// With --trap: system calls by instruction, and those inside libc, are served as if they had been made by name.
#include "ticker.hpp"
#include "by_instruction.h"
#include "trap_test.h"

#include <catch2/catch.hpp>
#include <weft/errors.hpp>

#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <linux/futex.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <time.h>

using namespace shim_test;

namespace {

/// The option is read when the shim starts: the program runs itself again with it.
[[gnu::constructor]] void trap_this_program(int, char** argv) {
    if (std::getenv("WEFT_TRAP") != nullptr) return;
    ::setenv("WEFT_TRAP", "1", 1);
    ::execv("/proc/self/exe", argv);
}

template <class T>
long address(T* p) {
    return reinterpret_cast<long>(p);
}


char text[256];
const timespec blocking_timespec{0, 60'000'000};

void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

std::uint64_t blocked_signals() {
    std::uint64_t mask = 0;
    by_instruction(SYS_rt_sigprocmask, SIG_BLOCK, 0, address(&mask), 8);
    return mask;
}

volatile sig_atomic_t caught = 0;
volatile long in_handler = 0;
sigjmp_buf way_out;

void handle(int number, void (*handler)(int), int flags) {
    struct sigaction a {};
    a.sa_handler = handler;
    a.sa_flags = flags;
    ::sigaction(number, &a, nullptr);
}

} // namespace

TEST_CASE("an inline read lets other fibers run") {
    pair p = pair::stream();
    const outcome o = in_fiber([&] { return by_instruction(SYS_read, p[0], address(text), 100); },
                               [&] { CHECK(::write(p[1], "hello", 5) == 5); });
    CHECK(o.result == 5);
    CHECK(std::memcmp(text, "hello", 5) == 0);
    CHECK(o.error == 0);
    check_blocked(o);
    p.close(1);
    CHECK(in_fiber([&] { return by_instruction(SYS_read, p[0], address(text), 100); }).result == 0);
    CHECK(in_fiber([&] { return by_instruction(SYS_read, -1, address(text), 100); }).result == -EBADF);
    CHECK(in_fiber([&] { return by_instruction(SYS_read, -1, address(text), 100); }).error == 0); // errno is libc's affair
}

TEST_CASE("an inline write to a full pipe lets other fibers run") {
    pair p = pair::pipe();
    static const std::array<char, 65536> zeros{};
    REQUIRE(::write(p[1], zeros.data(), zeros.size()) == 65536);
    const outcome o = in_fiber([&] { return by_instruction(SYS_write, p[1], address(zeros.data()), 10000); },
                               [&] {
                                   std::array<char, 65536> into;
                                   CHECK(::read(p[0], into.data(), into.size()) > 0);
                               });
    CHECK(o.result == 10000);
    check_blocked(o);
}

TEST_CASE("inline sleeps and polls let other fibers run") {
    pair p = pair::stream();
    const std::vector<std::pair<const char*, std::function<long()>>> calls{
        {"nanosleep", [] { return by_instruction(SYS_nanosleep, address(&blocking_timespec)); }},
        {"clock_nanosleep", [] { return by_instruction(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, address(&blocking_timespec)); }},
        {"poll", [&] { pollfd one{p[0], POLLIN, 0}; return by_instruction(SYS_poll, address(&one), 1, 60); }},
        {"ppoll",
         [&] {
             timespec t = blocking_timespec;
             pollfd one{p[0], POLLIN, 0};
             const long result = by_instruction(SYS_ppoll, address(&one), 1, address(&t), 0, 8);
             CHECK(t.tv_nsec == 0);
             return result;
         }},
        {"select", [] { timeval v{0, 60'000}; return by_instruction(SYS_select, 0, 0, 0, 0, address(&v)); }},
        {"futex",
         [] {
             std::uint32_t word = 5;
             const long result = by_instruction(SYS_futex, address(&word), FUTEX_WAIT_PRIVATE, 5, address(&blocking_timespec));
             return result == -ETIMEDOUT ? 0 : result;
         }},
    };
    for (const auto& [name, call] : calls) {
        INFO(name);
        const outcome o = in_fiber(call);
        CHECK(o.result == 0);
        CHECK(o.error == 0);
        check_blocked(o);
    }
}

TEST_CASE("an inline futex wait is woken by an inline wake of another fiber") {
    std::uint32_t word = 0;
    const outcome o = in_fiber([&] { return by_instruction(SYS_futex, address(&word), FUTEX_WAIT_PRIVATE, 0); },
                               [&] {
                                   word = 1;
                                   while (by_instruction(SYS_futex, address(&word), FUTEX_WAKE_PRIVATE, 1) == 0)
                                       weft::this_fiber::sleep_for(1ms);
                               });
    CHECK(o.result == 0);
    check_blocked(o);
    CHECK(in_fiber([&] { return by_instruction(SYS_futex, address(&word), FUTEX_WAIT_PRIVATE, 0); }).result == -EAGAIN);
}

TEST_CASE("what libc waits for inside lets other fibers run") {
    pair p = pair::pipe();
    std::unique_ptr<FILE, int (*)(FILE*)> in(::fdopen(::dup(p[0]), "r"), ::fclose);
    const outcome o = in_fiber([&] { return ::fgets(text, sizeof text, in.get()) == text ? 1L : 0L; },
                               [&] { CHECK(::write(p[1], "a line\n", 7) == 7); });
    CHECK(o.result == 1);
    CHECK(std::string(text) == "a line\n");
    check_blocked(o);
    const outcome child = in_fiber([] { return static_cast<long>(std::system("sleep 0.06; exit 3")); });
    CHECK(WEXITSTATUS(child.result) == 3);
    check_blocked(child);
}

TEST_CASE("a kill and a time-out reach into a trapped call") {
    pair p = pair::stream();
    long result = 0;
    auto killed = weft::spawn([&] {
        result = by_instruction(SYS_read, p[0], address(text), 100);
        CHECK(by_instruction(SYS_nanosleep, address(&blocking_timespec)) == -ECANCELED);
    });
    weft::this_fiber::sleep_for(20ms);
    killed.kill();
    CHECK(result == -ECANCELED);
    long timed = 0;
    auto f = weft::spawn([&] {
        try {
            weft::with_timeout(30ms, [&] {
                timed = by_instruction(SYS_read, p[0], address(text), 100);
                weft::this_fiber::yield();
            });
        } catch (const weft::timeout_error&) {
        }
    });
    f.join(patience);
    CHECK(timed == -ETIMEDOUT);
}

TEST_CASE("every register but those of a system call survives") {
    pair p = pair::stream();
    CHECK(::write(p[1], "1", 1) == 1);
    weft::spawn([&] { CHECK(registers_survive(SYS_getppid, 0, 0, 0) == ::getppid()); }).join(); // sent back to the kernel
    weft::spawn([&] { CHECK(registers_survive(SYS_read, p[0], address(text), 1) == 1); }).join(); // served
    auto waits = weft::spawn([&] { CHECK(registers_survive(SYS_read, p[0], address(text), 1) == 1); }); // served, after a suspension
    weft::this_fiber::sleep_for(5ms);
    CHECK(::write(p[1], "2", 1) == 1);
    waits.join();
}

TEST_CASE("a trapped rt_sigprocmask changes the mask, and never keeps the trap out") {
    weft::spawn([] {
        const std::uint64_t all = ~std::uint64_t{0}, usr1 = std::uint64_t{1} << (SIGUSR1 - 1), none = 0;
        std::uint64_t old = 0;
        const std::uint64_t before = blocked_signals();
        CHECK(by_instruction(SYS_rt_sigprocmask, SIG_SETMASK, address(&usr1), address(&old), 8) == 0);
        CHECK(old == before);
        CHECK(blocked_signals() == usr1);
        CHECK(by_instruction(SYS_rt_sigprocmask, SIG_BLOCK, address(&all), 0, 8) == 0);
        CHECK((blocked_signals() & usr1) != 0);
        CHECK((blocked_signals() >> (SIGSYS - 1) & 1) == 0);
        CHECK(by_instruction(SYS_nanosleep, address(&blocking_timespec)) == 0); // trapped, so alive
        CHECK(by_instruction(SYS_rt_sigprocmask, SIG_UNBLOCK, address(&usr1), 0, 8) == 0);
        CHECK((blocked_signals() & usr1) == 0);
        CHECK(by_instruction(SYS_rt_sigprocmask, SIG_SETMASK, address(&none), 0, 8) == 0);
        CHECK(blocked_signals() == 0);
        CHECK(by_instruction(SYS_rt_sigprocmask, SIG_SETMASK, address(&none), 0, 16) == -EINVAL);
        CHECK(by_instruction(SYS_rt_sigprocmask, 77, address(&none), 0, 8) == -EINVAL);
        CHECK(by_instruction(SYS_rt_sigprocmask, SIG_BLOCK, 8, 0, 8) == -EFAULT);
        CHECK(by_instruction(SYS_rt_sigprocmask, SIG_BLOCK, 0, 8, 8) == -EFAULT);
        sigset_t full, was;
        sigfillset(&full);
        CHECK(::pthread_sigmask(SIG_SETMASK, &full, &was) == 0);
        weft::this_fiber::sleep_for(5ms);
        CHECK(by_instruction(SYS_getppid) == ::getppid());
        CHECK(::pthread_sigmask(SIG_SETMASK, &was, nullptr) == 0);
    }).join();
}

TEST_CASE("the main fiber waits with all signals blocked while another is trapped") {
    pair p = pair::stream();
    sigset_t all;
    sigfillset(&all);
    long result = 0;
    auto other = weft::spawn([&] {
        for (int i = 0; i < 10; ++i) by_instruction(SYS_nanosleep, address(&blocking_timespec));
        result = by_instruction(SYS_write, p[1], address("x"), 1);
    });
    pollfd one{p[0], POLLIN, 0};
    CHECK(::ppoll(&one, 1, nullptr, &all) == 1);
    other.join();
    CHECK(result == 1);
}

// --- Signals ---

TEST_CASE("a handler's own system calls are served, and nested ones too") {
    static pair p = pair::stream();
    caught = 0;
    in_handler = 0;
    handle(SIGUSR1, [](int) {
        caught = caught + 1;
        in_handler = by_instruction(SYS_read, p[0], address(text), 1); // the fiber that it interrupted waits here
    }, 0);
    ticker t;
    auto f = weft::spawn([] { CHECK(by_instruction(SYS_tgkill, ::getpid(), ::gettid(), SIGUSR1) == 0); });
    CHECK(eventually([&] { return t.ticks() >= 5; }));
    CHECK(in_handler == 0);
    CHECK(caught == 1);
    CHECK(::write(p[1], "x", 1) == 1);
    f.join(patience);
    CHECK(caught == 1);
    CHECK(in_handler == 1);
    ::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("a handler that blocks everything, whatever it interrupts") {
    struct sigaction a {};
    caught = 0;
    a.sa_handler = [](int) {
        caught = caught + 1;
        by_instruction(SYS_getppid);
    };
    sigfillset(&a.sa_mask);
    ::sigaction(SIGUSR1, &a, nullptr);
    ::sigaction(SIGFPE, &a, nullptr);
    CHECK(by_instruction(SYS_tgkill, ::getpid(), ::gettid(), SIGUSR1) == 0); // at once, in trapped code
    weft::spawn([] {
        by_instruction(SYS_tgkill, ::getpid(), ::gettid(), SIGUSR1);
        by_instruction(SYS_tgkill, ::getpid(), ::gettid(), SIGFPE);
    }).join();
    CHECK(caught == 3);
    auto poke = weft::spawn([] { by_instruction(SYS_tgkill, ::getpid(), ::gettid(), SIGUSR1); });
    CHECK(by_instruction(SYS_nanosleep, address(&blocking_timespec)) == -EINTR); // recorded, while the main fiber waits
    CHECK(caught == 4);
    struct sigaction seen {};
    ::sigaction(SIGUSR1, nullptr, &seen);
    CHECK(sigismember(&seen.sa_mask, SIGSYS) == 1);
    ::signal(SIGUSR1, SIG_DFL);
    ::signal(SIGFPE, SIG_DFL);
}

TEST_CASE("a handler that jumps out of a trapped call leaves the trap on") {
    handle(SIGUSR1, [](int) { siglongjmp(way_out, 1); }, 0);
    weft::spawn([] {
        if (sigsetjmp(way_out, 1) == 0) {
            by_instruction(SYS_tgkill, ::getpid(), ::gettid(), SIGUSR1);
            FAIL("it came back");
        }
    }).join();
    const outcome o = in_fiber([] { return by_instruction(SYS_nanosleep, address(&blocking_timespec)); });
    CHECK(o.result == 0);
    check_blocked(o);
    ::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("a fault in trapped code is the program's") {
    handle(SIGSEGV, [](int) { siglongjmp(way_out, 1); }, 0);
    volatile bool faulted = false;
    char* volatile nowhere = reinterpret_cast<char*>(8);
    weft::spawn([&] {
        if (sigsetjmp(way_out, 1) == 0) *nowhere = 1;
        else faulted = true;
    }).join();
    CHECK(faulted);
    const outcome o = in_fiber([] { return by_instruction(SYS_nanosleep, address(&blocking_timespec)); });
    check_blocked(o);
    ::signal(SIGSEGV, SIG_DFL);
}

TEST_CASE("SIGSYS stays the program's") {
    struct sigaction seen {};
    REQUIRE(::sigaction(SIGSYS, nullptr, &seen) == 0);
    CHECK(seen.sa_handler == SIG_DFL);
    caught = 0;
    handle(SIGSYS, [](int) { caught = caught + 1; }, SA_RESTART);
    REQUIRE(::sigaction(SIGSYS, nullptr, &seen) == 0);
    CHECK((seen.sa_flags & SA_RESTART) != 0);
    weft::spawn([] {
        ::raise(SIGSYS);
        CHECK(caught == 1);
        CHECK(by_instruction(SYS_tgkill, ::getpid(), ::gettid(), SIGSYS) == 0);
        CHECK(caught == 2);
        CHECK(by_instruction(SYS_getppid) == ::getppid());
    }).join();
    const outcome o = in_fiber([] { return by_instruction(SYS_nanosleep, address(&blocking_timespec)); });
    check_blocked(o);
    CHECK(::signal(SIGSYS, SIG_IGN) != SIG_ERR);
    ::raise(SIGSYS);
    ::signal(SIGSYS, SIG_DFL);
    int status = 0;
    const pid_t child = ::fork();
    if (child == 0) {
        ::raise(SIGSYS);
        ::_exit(0);
    }
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGSYS);
}

// --- New tasks ---

TEST_CASE("a child of fork is trapped as its parent") {
    for (const long number : {-1L, long{SYS_fork}, long{SYS_clone}}) {
        INFO(number);
        weft::spawn([&] {
            const long child = number < 0 ? ::fork() : by_instruction(number, number == SYS_clone ? SIGCHLD : 0);
            if (child == 0) {
                ::alarm(10);
                bool ran = false;
                weft::spawn([&] { ran = true; });
                by_instruction(SYS_nanosleep, address(&blocking_timespec));
                by_instruction(SYS_exit_group, ran ? 42 : 1);
            }
            int status = 0;
            CHECK(by_instruction(SYS_wait4, child, address(&status)) == child);
            CHECK(WIFEXITED(status));
            CHECK(WEXITSTATUS(status) == 42);
        }).join();
    }
}

TEST_CASE("threads, vfork and posix_spawn work in trapped code") {
    weft::spawn([] {
        int ran = 0;
        std::thread([&] { ran = by_instruction(SYS_getppid) == ::getppid() ? 1 : 2; }).join();
        CHECK(ran == 1);
        const pid_t child = ::vfork();
        if (child == 0) ::_exit(5);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WEXITSTATUS(status) == 5);
        char* words[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>("exit 6"), nullptr};
        pid_t spawned = 0;
        REQUIRE(::posix_spawnp(&spawned, "sh", nullptr, nullptr, words, environ) == 0);
        REQUIRE(::waitpid(spawned, &status, 0) == spawned);
        CHECK(WEXITSTATUS(status) == 6);
    }).join();
    const outcome o = in_fiber([] { return by_instruction(SYS_nanosleep, address(&blocking_timespec)); });
    check_blocked(o);
}

TEST_CASE("a thread with a hub of its own is trapped too") {
    std::thread([] {
        ticker t;
        auto f = weft::spawn([&] {
            const int before = t.ticks();
            CHECK(by_instruction(SYS_nanosleep, address(&blocking_timespec)) == 0);
            CHECK(t.ticks() >= before + 10);
        });
        f.join();
    }).join();
}

TEST_CASE("two hundred fibers in trapped reads at once") {
    std::vector<std::unique_ptr<pair>> pairs;
    std::vector<weft::fiber<void>> readers;
    int sum = 0;
    for (int i = 0; i < 200; ++i) {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        pairs.push_back(std::make_unique<pair>(fds[0], fds[1]));
        readers.push_back(weft::spawn([&sum, fd = fds[0]] {
            char c[4];
            for (int k = 0; k < 20; ++k) sum += static_cast<int>(by_instruction(SYS_read, fd, address(c), 1));
        }));
    }
    for (int k = 0; k < 20; ++k)
        for (const auto& p : pairs) CHECK(by_instruction(SYS_write, (*p)[1], address("x"), 1) == 1);
    for (auto& r : readers) r.join(patience);
    CHECK(sum == 200 * 20);
}
