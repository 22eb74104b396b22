// SPDX-License-Identifier: Apache-2.0
// Waiting for children in fibers: the others run on, a kill or a time-out reaches in, and every child is reaped once.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vector>

using namespace shim_test;

namespace {

/// A child that ends with that status when its pipe is closed or written to, or when the parent dies.
class child {
public:
    explicit child(int status = 0) {
        int gate[2];
        REQUIRE(::pipe2(gate, O_CLOEXEC) == 0);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            char c;
            ::close(gate[1]);
            while (::syscall(SYS_read, gate[0], &c, 1) < 0 && errno == EINTR) {}
            ::_exit(status);
        }
        ::close(gate[0]);
        gate_ = gate[1];
    }
    child(child&& o) noexcept : pid_(std::exchange(o.pid_, -1)), gate_(std::exchange(o.gate_, -1)) {}
    child& operator=(child&&) = delete;
    ~child() { end(); }

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    void end() {
        if (const int fd = std::exchange(gate_, -1); fd >= 0) {
            CHECK(::write(fd, "x", 1) == 1); // later children hold the pipe open too
            ::close(fd);
        }
    }

private:
    pid_t pid_ = -1;
    int gate_ = -1;
};

int open_descriptors() {
    int n = 0;
    DIR* d = ::opendir("/proc/self/fd");
    while (::readdir(d) != nullptr) ++n;
    ::closedir(d);
    return n;
}

bool no_children() {
    const pid_t got = ::waitpid(-1, nullptr, WNOHANG);
    return got == -1 && errno == ECHILD;
}

struct named_wait {
    const char* name;
    std::function<pid_t(pid_t, int*)> call; // waits for the pid; the status as wait(2) has it
};

int status_of(const siginfo_t& i) { return i.si_code == CLD_EXITED ? i.si_status << 8 : i.si_status; }

pid_t by_waitid(idtype_t type, id_t id, int* status) {
    siginfo_t i{};
    if (::waitid(type, id, &i, WEXITED) != 0) return -1;
    *status = status_of(i);
    return i.si_pid;
}

const std::vector<named_wait>& waits() {
    static const std::vector<named_wait> all{
        {"wait", [](pid_t, int* s) { return ::wait(s); }},
        {"waitpid", [](pid_t pid, int* s) { return ::waitpid(pid, s, 0); }},
        {"waitpid -1", [](pid_t, int* s) { return ::waitpid(-1, s, 0); }},
        {"waitpid 0", [](pid_t, int* s) { return ::waitpid(0, s, 0); }},
        {"waitpid group", [](pid_t, int* s) { return ::waitpid(-::getpgrp(), s, 0); }},
        {"waitpid WUNTRACED", [](pid_t pid, int* s) { return ::waitpid(pid, s, WUNTRACED); }},
        {"waitpid __WNOTHREAD", [](pid_t, int* s) { return ::waitpid(-1, s, __WNOTHREAD); }},
        {"wait3", [](pid_t, int* s) { rusage u; return ::wait3(s, 0, &u); }},
        {"wait4", [](pid_t pid, int* s) { rusage u; return ::wait4(pid, s, 0, &u); }},
        {"waitid P_PID", [](pid_t pid, int* s) { return by_waitid(P_PID, static_cast<id_t>(pid), s); }},
        {"waitid P_ALL", [](pid_t, int* s) { return by_waitid(P_ALL, 0, s); }},
        {"waitid P_PGID", [](pid_t, int* s) { return by_waitid(P_PGID, static_cast<id_t>(::getpgrp()), s); }},
        {"waitid P_PIDFD",
         [](pid_t pid, int* s) {
             const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
             const pid_t got = by_waitid(P_PIDFD, static_cast<id_t>(fd), s);
             ::close(fd);
             return got;
         }},
    };
    return all;
}

} // namespace

TEST_CASE("waits for children let other fibers run") {
    for (const auto& [name, call] : waits()) {
        INFO(name);
        child c(7);
        int status = -1;
        const outcome o = in_fiber([&] { return long{call(c.pid(), &status)}; }, [&] { c.end(); });
        CHECK(o.result == c.pid());
        CHECK(status == 7 << 8);
        CHECK(o.error == 0);
        CHECK(o.time >= blocking_time - 5ms);
        CHECK(o.ticks >= 10);
        CHECK(no_children());
    }
}

TEST_CASE("a kill reaches into each wait, and the child stays") {
    for (const auto& [name, call] : waits()) {
        INFO(name);
        child c(3);
        int status = -1, error = 0;
        pid_t result = 0;
        auto f = weft::spawn([&] {
            result = call(c.pid(), &status);
            error = errno;
        });
        weft::this_fiber::sleep_for(20ms);
        CHECK(f.kill(patience));
        CHECK(result == -1);
        CHECK(error == ECANCELED);
        c.end();
        CHECK(call(c.pid(), &status) == c.pid());
        CHECK(status == 3 << 8);
    }
}

TEST_CASE("a time-out reaches into each wait") {
    for (const auto& [name, call] : waits()) {
        INFO(name);
        child c;
        int status = -1, error = 0;
        pid_t result = 0;
        auto f = weft::spawn([&] {
            const weft::timeout t(20ms);
            result = call(c.pid(), &status);
            error = errno;
        });
        f.join(patience);
        CHECK(result == -1);
        CHECK(error == ETIMEDOUT);
        c.end();
        CHECK(::waitpid(c.pid(), &status, 0) == c.pid());
    }
}

TEST_CASE("many fibers wait each for a child of its own") {
    constexpr int count = 300;
    const int before = open_descriptors();
    {
        std::vector<child> children;
        std::vector<weft::fiber<int>> fibers;
        for (int i = 0; i < count; ++i) {
            children.emplace_back(i % 100);
            fibers.push_back(weft::spawn([pid = children.back().pid()] {
                int status = -1;
                return ::waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : -1;
            }));
        }
        weft::this_fiber::sleep_for(5ms);
        for (int i = count; i-- > 0;) children[static_cast<std::size_t>(i)].end();
        for (int i = 0; i < count; ++i) CHECK(fibers[static_cast<std::size_t>(i)].get(patience) == i % 100);
    }
    CHECK(no_children());
    CHECK(open_descriptors() <= before + 8);
}

TEST_CASE("many fibers wait for any child; each child is reaped once, and the last waits end with ECHILD") {
    constexpr int count = 200, fewer = 150;
    std::vector<child> children;
    for (int i = 0; i < fewer; ++i) children.emplace_back();
    std::vector<weft::fiber<pid_t>> fibers;
    for (int i = 0; i < count; ++i)
        fibers.push_back(weft::spawn([] {
            const pid_t got = ::wait(nullptr);
            return got > 0 ? got : -errno;
        }));
    weft::this_fiber::sleep_for(5ms);
    for (auto& c : children) c.end();
    std::vector<pid_t> got;
    int none = 0;
    for (auto& f : fibers) {
        const pid_t pid = f.get(patience);
        if (pid > 0) got.push_back(pid);
        else none += pid == -ECHILD;
    }
    CHECK(none == count - fewer);
    std::sort(got.begin(), got.end());
    CHECK(std::unique(got.begin(), got.end()) == got.end());
    CHECK(got.size() == fewer);
}

TEST_CASE("of those who wait for any child one is killed, the others go on") {
    child a, b;
    std::vector<weft::fiber<pid_t>> fibers;
    for (int i = 0; i < 3; ++i) fibers.push_back(weft::spawn([] { return ::waitpid(-1, nullptr, 0); }));
    weft::this_fiber::sleep_for(10ms);
    fibers[0].kill(patience);
    weft::this_fiber::sleep_for(5ms);
    a.end();
    CHECK(eventually([&] { return fibers[1].ready() || fibers[2].ready(); }));
    b.end();
    CHECK(fibers[1].get(patience) + fibers[2].get(patience) == a.pid() + b.pid());
}

TEST_CASE("stops and continuations are told while other fibers run") {
    child c;
    int status = 0;
    outcome o = in_fiber([&] { return long{::waitpid(c.pid(), &status, WUNTRACED)}; }, [&] { ::kill(c.pid(), SIGSTOP); });
    CHECK(o.result == c.pid());
    CHECK(WIFSTOPPED(status));
    CHECK(o.ticks >= 10);
    o = in_fiber([&] { return long{::waitpid(c.pid(), &status, WCONTINUED)}; }, [&] { ::kill(c.pid(), SIGCONT); });
    CHECK(o.result == c.pid());
    CHECK(WIFCONTINUED(status));
    siginfo_t i{};
    o = in_fiber([&] { return long{::waitid(P_PID, static_cast<id_t>(c.pid()), &i, WSTOPPED | WNOWAIT)}; },
                 [&] { ::kill(c.pid(), SIGSTOP); });
    CHECK(o.result == 0);
    CHECK(i.si_code == CLD_STOPPED);
    ::kill(c.pid(), SIGCONT);
    c.end();
    CHECK(::waitpid(c.pid(), &status, 0) == c.pid());
}

TEST_CASE("a child made by another thread, and one that another fiber reaps first") {
    child c(5);
    int status = 0;
    auto slow = weft::spawn([&] {
        const pid_t got = ::waitpid(c.pid(), nullptr, 0);
        return got < 0 ? -errno : got;
    });
    auto fast = weft::spawn([&] { return ::waitpid(-1, &status, 0); });
    weft::this_fiber::sleep_for(5ms);
    c.end();
    const pid_t first = fast.get(patience), second = slow.get(patience);
    CHECK(((first == c.pid() && second == -ECHILD) || (first == -1 && second == c.pid())));
}

TEST_CASE("without a descriptor to spare children are waited for all the same") {
    rlimit old{}, low{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
    child c(9);
    low = old;
    low.rlim_cur = static_cast<rlim_t>(::dup(0)); // all that is free lies above
    ::close(static_cast<int>(low.rlim_cur));
    int status = 0;
    const outcome o = in_fiber(
        [&] {
            ::setrlimit(RLIMIT_NOFILE, &low);
            const long got = ::waitpid(c.pid(), &status, 0);
            ::setrlimit(RLIMIT_NOFILE, &old);
            return got;
        },
        [&] { c.end(); });
    CHECK(o.result == c.pid());
    CHECK(WEXITSTATUS(status) == 9);
    CHECK(o.ticks >= 10);
}
