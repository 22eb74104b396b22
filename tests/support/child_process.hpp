// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs a function in a child process that can be lost: for tests of what ends a process, or of what it prints.

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test_support {

struct child_result {
    int status = 0;  // as from waitpid
    std::string err; // what it wrote to stderr
    rusage usage{};  // its own
    [[nodiscard]] int exit_code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
    [[nodiscard]] int signal() const { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
};

/// CHECK for use in the child, where Catch2's would be lost: says which line failed and ends the child with 99.
inline void must(bool ok, std::source_location at = std::source_location::current()) {
    if (ok) return;
    std::fprintf(stderr, "child: must() failed at line %u\n", static_cast<unsigned>(at.line()));
    std::_Exit(99);
}
template <class E, class F>
void must_throw(F fn, std::source_location at = std::source_location::current()) {
    try {
        fn();
    } catch (const E&) {
        return;
    }
    must(false, at);
}

/// Forks, runs `fn` in the child with stderr kept, ends it by `std::exit(0)`. It must come before the caller's first weft
/// call, else the child's life begins as that of a forked hub. After `limit` the child is killed (SIGKILL).
template <class F>
child_result run_in_child(F fn, std::chrono::seconds limit = std::chrono::seconds(40)) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe");
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork");
    if (child == 0) {
        ::dup2(ends[1], 2);
        ::close(ends[0]);
        ::close(ends[1]);
        for (int s : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGINT}) ::signal(s, SIG_DFL); // not Catch2's
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        try {
            fn();
        } catch (const std::exception& e) {
            std::fprintf(stderr, "child: uncaught %s\n", e.what());
            std::_Exit(98);
        } catch (...) {
            std::fprintf(stderr, "child: uncaught exception\n");
            std::_Exit(97);
        }
        std::exit(0);
    }
    ::close(ends[1]);
    child_result result;
    const auto until = std::chrono::steady_clock::now() + limit;
    char buffer[4096];
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd p{ends[0], POLLIN, 0};
        if (left.count() <= 0 || ::poll(&p, 1, static_cast<int>(left.count())) == 0) {
            ::kill(child, SIGKILL);
            result.err += "[killed: it ran too long]";
            break;
        }
        const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
        if (n <= 0) break;
        result.err.append(buffer, static_cast<std::size_t>(n));
    }
    ::close(ends[0]);
    while (::wait4(child, &result.status, 0, &result.usage) < 0 && errno == EINTR) {
    }
    return result;
}

} // namespace test_support
