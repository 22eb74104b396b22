// SPDX-License-Identifier: Apache-2.0
// A linked program: fibers echo, sleep, time out, are killed, use a threadpool and the shim's calls. Where weft throws what the fault
// stands for, it says so and goes on. Any disagreement is a line that begins with BAD.
#include <weft/weft.hpp>

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" [[gnu::weak]] void weft_fault_begin();
extern "C" [[gnu::weak]] void weft_fault_end();

namespace {

using namespace std::chrono_literals;

constexpr int tries = 6;

void say(const char* a, const char* b) noexcept {
    char line[200];
    const int n = std::snprintf(line, sizeof line, "%s %s\n", a, b);
    long r = SYS_write;
    asm volatile("syscall" : "+a"(r) : "D"(1L), "S"(line), "d"(static_cast<long>(n)) : "rcx", "r11", "memory");
}

void bad(const char* what) noexcept { say("BAD", what); }

/// Until it succeeds, or has thrown often enough.
template <class F>
void persist(const char* what, F f) {
    for (int i = 0; i < tries; ++i) {
        try {
            f();
            return;
        } catch (const std::system_error& e) {
            const char* name = ::strerrorname_np(e.code().value());
            say(what, name == nullptr ? e.what() : name);
        } catch (const std::bad_alloc&) {
            say(what, "ENOMEM");
        }
    }
    bad(what);
}

template <class F>
ssize_t insist(const char* what, F f) {
    for (int i = 0;; ++i) {
        errno = 0;
        const ssize_t n = f();
        if (n >= 0 || i == tries) return n;
        say(what, ::strerrorname_np(errno));
    }
}

void echo_pair() {
    int fds[2];
    if (insist("socketpair", [&] { return ::socketpair(AF_UNIX, SOCK_STREAM, 0, fds); }) != 0) return bad("socketpair");
    auto echo = weft::spawn([fd = fds[1]] {
        char text[64];
        for (;;) {
            const ssize_t n = insist("recv", [&] { return ::recv(fd, text, sizeof text, 0); });
            if (n <= 0) break;
            weft::this_fiber::sleep_for(1ms);
            for (ssize_t done = 0; done < n;) {
                const ssize_t w = insist("send", [&] { return ::send(fd, text + done, static_cast<std::size_t>(n - done), 0); });
                if (w <= 0) return bad("echo");
                done += w;
            }
        }
        ::close(fd);
    });
    for (char round = 0; round < 5; ++round) {
        std::array<char, 24> sent{};
        std::array<char, 24> got{};
        sent.fill(static_cast<char>('a' + round));
        for (std::size_t done = 0; done < sent.size();) {
            const ssize_t n = insist("write", [&] { return ::write(fds[0], sent.data() + done, sent.size() - done); });
            if (n <= 0) return bad("write");
            done += static_cast<std::size_t>(n);
        }
        for (std::size_t done = 0; done < got.size();) {
            const ssize_t n = insist("read", [&] { return ::read(fds[0], got.data() + done, got.size() - done); });
            if (n <= 0) return bad("read");
            done += static_cast<std::size_t>(n);
        }
        if (got != sent) bad("bytes");
    }
    ::close(fds[0]);
    echo.join();
}

void several_at_once() {
    std::vector<weft::fiber<void>> all;
    persist("spawn", [&] {
        while (all.size() < 8) all.push_back(weft::spawn([] { persist("echo", echo_pair); }));
    });
    for (auto& f : all) f.join();
    for (auto& f : all) f.get();
}

void sleeps_and_ends() {
    persist("sleep", [] { weft::this_fiber::sleep_for(2ms); });
    persist("timeout", [] {
        try {
            weft::with_timeout(3ms, [] {
                const timespec t{10, 0};
                ::nanosleep(&t, nullptr);
                weft::this_fiber::sleep_for(10s);
            });
            bad("a timeout");
        } catch (const weft::timeout_error&) {
        }
    });
    persist("kill", [] {
        auto f = weft::spawn([] { weft::this_fiber::sleep_for(10s); });
        weft::this_fiber::yield();
        f.kill();
        f.join();
    });
    persist("poll", [] {
        if (insist("poll", [] { return ::poll(nullptr, 0, 2); }) != 0) bad("poll");
    });
}

void kernel_threads() {
    persist("threadpool", [] {
        weft::threadpool pool(2);
        if (pool.submit([] { return 42; }).get() != 42) bad("a job's value");
    });
    persist("getaddrinfo", [] {
        for (int i = 0;; ++i) {
            addrinfo* found = nullptr;
            errno = 0;
            const int error = ::getaddrinfo("localhost", nullptr, nullptr, &found);
            if (error == 0) return ::freeaddrinfo(found);
            say("getaddrinfo", error == EAI_MEMORY ? "ENOMEM" : error == EAI_SYSTEM ? ::strerrorname_np(errno) : "EAI");
            if (i == tries) return bad("getaddrinfo");
        }
    });
}

} // namespace

int main() {
    if (weft_fault_begin != nullptr) weft_fault_begin();
    persist("several", several_at_once);
    persist("sleeps", sleeps_and_ends);
    persist("threads", kernel_threads);
    if (weft_fault_end != nullptr) weft_fault_end();
    say("done", "");
}
