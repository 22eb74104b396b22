// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/fiber.hpp>
#include <weft/timeout.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <type_traits>
#include <unistd.h>
#include <utility>

/// What the linked tests of the shim share: a fiber that counts while others wait, and descriptors that close themselves.
namespace shim_test {

using namespace std::chrono_literals;

/// How long the calls under test block, and how long anything may take before it counts as hung.
inline constexpr auto blocking_time = 60ms;
inline constexpr auto patience = 10s;

/// Counts about once a millisecond from its own fiber, for as long as it lives.
class ticker {
public:
    ticker()
        : fiber_(weft::spawn([this] {
              for (;;) {
                  weft::this_fiber::sleep_for(1ms);
                  ++ticks_;
              }
          })) {}
    ~ticker() { fiber_.kill(); }
    ticker(const ticker&) = delete;
    ticker& operator=(const ticker&) = delete;

    [[nodiscard]] int ticks() const noexcept { return ticks_; }

private:
    int ticks_ = 0;
    weft::fiber<void> fiber_;
};

/// Two connected descriptors.
class pair {
public:
    pair(int a, int b) : fds_{a, b} {}
    ~pair() {
        close(0);
        close(1);
    }
    pair(const pair&) = delete;
    pair& operator=(const pair&) = delete;

    static pair stream() { return sockets(SOCK_STREAM); }
    static pair datagram() { return sockets(SOCK_DGRAM); }
    static pair pipe() {
        int fds[2];
        if (::pipe(fds) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
        return {fds[0], fds[1]};
    }

    [[nodiscard]] int operator[](int i) const noexcept { return fds_[static_cast<std::size_t>(i)]; }
    void close(int i) {
        if (const int fd = std::exchange(fds_[static_cast<std::size_t>(i)], -1); fd >= 0) ::close(fd);
    }

private:
    static pair sockets(int type) {
        int fds[2];
        if (::socketpair(AF_UNIX, type, 0, fds) != 0)
            throw std::system_error(errno, std::generic_category(), "socketpair");
        return {fds[0], fds[1]};
    }

    std::array<int, 2> fds_;
};

/// Milliseconds that this kernel thread has been ready without running, until now; 0 where the kernel doesn't say.
inline double kept_waiting() {
    std::ifstream file("/proc/thread-self/schedstat");
    double ran = 0, waited = 0;
    file >> ran >> waited;
    return waited / 1e6;
}

/// What a call returned, its errno, how long it took and how often the ticker ticked meanwhile (had the thread had a processor all the time).
struct outcome {
    long result = 0;
    int error = 0;
    std::chrono::milliseconds time{};
    int ticks = 0;
};

/// Makes the call in a fiber of its own while a ticker runs. `meanwhile` runs in another fiber, when blocking_time has gone by since
/// the call began and the ticker has ticked ten times: on a busy machine that may take longer.
inline outcome in_fiber(const std::function<long()>& call, const std::function<void()>& meanwhile = [] {}) {
    ticker t;
    weft::fiber<void> helper;
    auto caller = weft::spawn([&] {
        outcome o;
        const double kept_before = kept_waiting();
        const auto start = std::chrono::steady_clock::now();
        const int before = t.ticks();
        helper = weft::spawn_later(blocking_time, [&meanwhile, &t, before] {
            const auto end = std::chrono::steady_clock::now() + patience;
            while (t.ticks() < before + 10 && std::chrono::steady_clock::now() < end) weft::this_fiber::sleep_for(1ms);
            meanwhile();
        });
        errno = 0;
        o.result = call();
        o.error = errno;
        o.time = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
        o.ticks = t.ticks() - before;
        const double all = static_cast<double>(o.time.count()), kept = kept_waiting() - kept_before;
        if (all > 0) o.ticks = static_cast<int>(o.ticks * all / std::max(all - kept, all / 10));
        return o;
    });
    const outcome o = caller.get(patience);
    helper.join(patience);
    return o;
}

/// Fills a socket or pipe so that the next write blocks, by raw non-blocking sends; for pipes by their capacity.
inline void fill(int fd) {
    static const std::array<char, 65536> zeros{};
    while (::send(fd, zeros.data(), zeros.size(), MSG_DONTWAIT) > 0) {}
    while (::send(fd, zeros.data(), 1, MSG_DONTWAIT) > 0) {}
}

/// Yields until the condition holds; false if it does not within `patience`.
template <class Condition>
bool eventually(Condition&& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        weft::this_fiber::sleep_for(1ms);
    }
    return true;
}

} // namespace shim_test
