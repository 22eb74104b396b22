// SPDX-License-Identifier: Apache-2.0
// Fibers that make children: system() beside other fibers, masks that children must not inherit, and very many of them.
#include "ticker.hpp"

#include <weft/pool.hpp>

#include <catch2/catch.hpp>

#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <vector>

using namespace shim_test;

namespace {

int open_descriptors() {
    int n = 0;
    DIR* d = ::opendir("/proc/self/fd");
    while (::readdir(d) != nullptr) ++n;
    ::closedir(d);
    return n;
}

bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

enum class way { fork, vfork, posix_spawn, bare_fork };
constexpr way ways[] = {way::fork, way::vfork, way::posix_spawn, way::bare_fork};

/// A child that execs `sh -c "exit status"`. Its own frame: a child of vfork writes in it.
[[gnu::noinline]] pid_t run(way w, int status) {
    char command[] = "exit 00";
    command[5] = static_cast<char>('0' + status / 10);
    command[6] = static_cast<char>('0' + status % 10);
    char sh[] = "sh", c[] = "-c";
    char* const arguments[] = {sh, c, command, nullptr};
    pid_t pid = -1;
    switch (w) {
    case way::fork: pid = ::fork(); break;
    case way::vfork: pid = ::vfork(); break;
    case way::bare_fork: pid = ::_Fork(); break;
    case way::posix_spawn: return ::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, arguments, environ) == 0 ? pid : -1;
    }
    if (pid == 0) {
        ::execv("/bin/sh", arguments);
        ::_exit(99);
    }
    return pid;
}

/// So many children, some at a time, each waited for in its own fiber; then nothing is left of them.
void many_children(int count, std::size_t at_once) {
    CHECK(::system("exit 0") == 0); // whatever is made once is there
    CHECK(weft::spawn([] { return ::waitpid(run(way::fork, 0), nullptr, 0) > 0; }).get(patience));
    const int before = open_descriptors();
    int wrong = 0;
    {
        ticker t;
        weft::pool fibers(at_once);
        for (int i = 0; i < count; ++i)
            fibers.spawn([i, &wrong] {
                int status = -1;
                const pid_t pid = run(ways[i % 4], i % 100);
                if (pid <= 0 || ::waitpid(pid, &status, i % 7 == 0 ? WUNTRACED : 0) != pid || status != i % 100 << 8) ++wrong;
            });
        fibers.join();
        CHECK(t.ticks() > 10);
    }
    CHECK(wrong == 0);
    CHECK(no_children());
    CHECK(open_descriptors() <= before);
}

std::string output_of(int fd) {
    std::string all;
    char part[256];
    for (ssize_t n; (n = ::read(fd, part, sizeof part)) > 0;) all.append(part, static_cast<std::size_t>(n));
    return all;
}

/// What a child's SigBlk says.
std::string mask_of_child(way w) {
    int p[2];
    REQUIRE(::pipe2(p, O_CLOEXEC) == 0);
    char grep[] = "grep", pattern[] = "^SigBlk", path[] = "/proc/self/status";
    char* const arguments[] = {grep, pattern, path, nullptr};
    pid_t pid = -1;
    if (w == way::posix_spawn) {
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, p[1], 1);
        ::posix_spawnp(&pid, "grep", &actions, nullptr, arguments, environ);
        ::posix_spawn_file_actions_destroy(&actions);
    } else {
        pid = w == way::fork ? ::fork() : ::_Fork();
        if (pid == 0) {
            ::dup2(p[1], 1);
            ::execvp("grep", arguments);
            ::_exit(99);
        }
    }
    ::close(p[1]);
    const std::string text = output_of(p[0]);
    ::close(p[0]);
    CHECK(::waitpid(pid, nullptr, 0) == pid);
    return text;
}

int cloned(void* gate) {
    char c = 0;
    ::usleep(1000); // it waits as any program does
    return ::read(*static_cast<int*>(gate), &c, 1) == 1 ? c : 99;
}

} // namespace

TEST_CASE("system lets other fibers run, several at once") {
    ::signal(SIGINT, SIG_DFL);
    const outcome o = in_fiber([] { return long{::system("sleep 0.1; exit 3")}; });
    CHECK(o.result == 3 << 8);
    CHECK(o.ticks >= 10);
    std::vector<weft::fiber<int>> all;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 8; ++i)
        all.push_back(weft::spawn([i] { return ::system(("sleep 0.2; exit " + std::to_string(i)).c_str()); }));
    struct sigaction a {};
    weft::this_fiber::sleep_for(20ms);
    REQUIRE(::sigaction(SIGINT, nullptr, &a) == 0);
    CHECK(a.sa_handler == SIG_IGN);
    for (int i = 0; i < 8; ++i) CHECK(all[static_cast<std::size_t>(i)].get(patience) == i << 8);
    CHECK(std::chrono::steady_clock::now() - start < 1500ms);
    REQUIRE(::sigaction(SIGINT, nullptr, &a) == 0);
    CHECK(a.sa_handler == SIG_DFL);
    CHECK(no_children());
}

TEST_CASE("a kill and a time-out end system, and its shell") {
    int result = 0, error = 0;
    auto run_system = [&] {
        result = ::system("exec sleep 30");
        error = errno;
    };
    auto killed = weft::spawn(run_system);
    weft::this_fiber::sleep_for(20ms);
    CHECK(killed.kill(patience));
    CHECK(result == -1);
    CHECK(error == ECANCELED);
    CHECK(no_children());
    auto timed = weft::spawn([&] {
        const weft::timeout t(20ms);
        run_system();
    });
    CHECK(timed.join(patience));
    CHECK(result == -1);
    CHECK(error == ETIMEDOUT);
    CHECK(no_children());
    struct sigaction a {};
    REQUIRE(::sigaction(SIGQUIT, nullptr, &a) == 0);
    CHECK(a.sa_handler == SIG_DFL);
}

TEST_CASE("children of a fiber do not inherit the mask of a call that the main fiber waits in") {
    const std::string usual = mask_of_child(way::fork);
    std::vector<std::string> seen;
    auto maker = weft::spawn([&] {
        weft::this_fiber::sleep_for(20ms);
        for (const way w : {way::fork, way::posix_spawn, way::bare_fork}) seen.push_back(mask_of_child(w));
    });
    sigset_t full;
    ::sigfillset(&full);
    const timespec limit{0, 300'000'000};
    CHECK(::ppoll(nullptr, 0, &limit, &full) == 0);
    maker.get(patience);
    CHECK(seen.size() == 3);
    for (const auto& s : seen) CHECK(s == usual);
    CHECK(mask_of_child(way::fork) == usual);
}

TEST_CASE("a child of clone is served, its parent's fibers are not in it") {
    int gate[2];
    REQUIRE(::pipe(gate) == 0);
    auto other = weft::spawn([] { weft::this_fiber::sleep_for(20ms); });
    std::vector<char> stack(256 * 1024);
    const pid_t pid = ::clone(cloned, stack.data() + stack.size(), SIGCHLD, gate);
    REQUIRE(pid > 0);
    int status = -1;
    const outcome o = in_fiber([&] { return long{::waitpid(pid, &status, 0)}; }, [&] { CHECK(::write(gate[1], "*", 1) == 1); });
    CHECK(o.result == pid);
    CHECK(status == '*' << 8);
    CHECK(o.ticks >= 10);
    other.get(patience);
    ::close(gate[0]);
    ::close(gate[1]);
}

TEST_CASE("a fork in a fiber leaves that fiber alone, with what it has, while others wait for children") {
    std::vector<weft::fiber<pid_t>> waiting;
    int gate[2];
    REQUIRE(::pipe(gate) == 0);
    std::vector<pid_t> pids;
    for (int i = 0; i < 4; ++i) {
        pids.push_back(::fork());
        if (pids.back() == 0) {
            char c;
            ::close(gate[1]);
            ::_exit(::read(gate[0], &c, 1) == 0 ? 0 : 1);
        }
        waiting.push_back(weft::spawn([pid = pids.back(), i] { return ::waitpid(i % 2 == 0 ? pid : -1, nullptr, 0); }));
    }
    weft::this_fiber::sleep_for(10ms);
    auto forker = weft::spawn([&] {
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(gate[1]);
            const bool none = ::waitpid(-1, nullptr, 0) == -1 && errno == ECHILD;
            const pid_t grandchild = ::fork();
            if (grandchild == 0) {
                ::usleep(5000);
                ::_exit(5);
            }
            int status = 0;
            const bool reaped = ::waitpid(-1, &status, 0) == grandchild && WEXITSTATUS(status) == 5;
            ::_exit(none && reaped ? 0 : 1);
        }
        return child;
    });
    const pid_t child = forker.get(patience);
    int status = -1;
    bool found = ::waitpid(child, &status, 0) == child;
    ::close(gate[1]);
    for (auto& f : waiting) found |= f.get(patience) == child; // one that waits for any may have had it
    CHECK(found);
    while (::waitpid(-1, nullptr, 0) > 0) {}
    ::close(gate[0]);
}

TEST_CASE("500 children, by fork, vfork, posix_spawn and _Fork", "[serial][timeout:120]") { many_children(500, 32); }

TEST_CASE("10,000 children leave nothing behind", "[long][serial][timeout:900]") { many_children(10'000, 64); }
