// SPDX-License-Identifier: Apache-2.0
// Fibers that wait for epoll sets: the others run on, sets are changed and shared meanwhile, nothing is lost.
#include "ticker.hpp"

#include <weft/pool.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <set>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <vector>

using namespace shim_test;

namespace {

/// An epoll set that closes itself.
class epoll_set {
public:
    epoll_set() : fd_(::epoll_create1(EPOLL_CLOEXEC)) { REQUIRE(fd_ >= 0); }
    epoll_set(const epoll_set&) = delete;
    epoll_set& operator=(const epoll_set&) = delete;
    ~epoll_set() { ::close(fd_); }

    [[nodiscard]] int fd() const noexcept { return fd_; }
    int control(int operation, int fd, std::uint32_t events) const {
        epoll_event e{};
        e.events = events;
        e.data.fd = fd;
        return ::epoll_ctl(fd_, operation, fd, &e);
    }
    void add(int fd, std::uint32_t events = EPOLLIN) const { REQUIRE(control(EPOLL_CTL_ADD, fd, events) == 0); }
    /// The descriptor that is ready, or -1 - errno, or -1 for none.
    [[nodiscard]] int wait(int timeout = -1) const {
        epoll_event e{};
        const int n = ::epoll_wait(fd_, &e, 1, timeout);
        return n == 1 ? e.data.fd : n == 0 ? -1 : -1 - errno;
    }

private:
    int fd_;
};

struct named_wait {
    const char* name;
    std::function<long(int, epoll_event*)> call;
};

const std::vector<named_wait>& waits() {
    static const std::vector<named_wait> all{
        {"epoll_wait", [](int set, epoll_event* e) { return long{::epoll_wait(set, e, 1, -1)}; }},
        {"epoll_pwait", [](int set, epoll_event* e) { return long{::epoll_pwait(set, e, 1, -1, nullptr)}; }},
        {"epoll_pwait2", [](int set, epoll_event* e) { return long{::epoll_pwait2(set, e, 1, nullptr, nullptr)}; }},
        {"epoll_wait, limited", [](int set, epoll_event* e) { return long{::epoll_wait(set, e, 1, 20'000)}; }},
    };
    return all;
}

std::unique_ptr<pair> new_stream() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    return std::make_unique<pair>(fds[0], fds[1]);
}

void put(int fd, char c = 'x') { CHECK(::write(fd, &c, 1) == 1); }

char get(int fd) {
    char c = 0;
    CHECK(::read(fd, &c, 1) == 1);
    return c;
}

} // namespace

TEST_CASE("waits for an epoll set let other fibers run") {
    for (const auto& [name, call] : waits()) {
        INFO(name);
        pair p = pair::stream();
        epoll_set s;
        s.add(p[0]);
        epoll_event e{};
        const outcome o = in_fiber([&] { return call(s.fd(), &e); }, [&] { put(p[1]); });
        CHECK(o.result == 1);
        CHECK(e.data.fd == p[0]);
        CHECK(e.events == EPOLLIN);
        CHECK(o.error == 0);
        CHECK(o.ticks >= 10);
    }
}

TEST_CASE("a kill and a time-out reach into them, and a close ends them") {
    for (const auto& [name, call] : waits()) {
        INFO(name);
        epoll_set s;
        epoll_event e{};
        int error = 0;
        auto run = [&] {
            const long n = call(s.fd(), &e);
            error = n == -1 ? errno : 0;
        };
        auto killed = weft::spawn(run);
        weft::this_fiber::sleep_for(5ms);
        CHECK(killed.kill(patience));
        CHECK(error == ECANCELED);
        auto timed = weft::spawn([&] {
            const weft::timeout t(5ms);
            run();
        });
        CHECK(timed.join(patience));
        CHECK(error == ETIMEDOUT);
        const int copy = ::dup(s.fd());
        auto closed = weft::spawn([&] {
            const long n = call(copy, &e);
            error = n == -1 ? errno : 0;
        });
        weft::this_fiber::sleep_for(5ms);
        ::close(copy);
        CHECK(closed.join(patience));
        CHECK(error == EBADF);
    }
}

TEST_CASE("a set is changed while a fiber waits for it") {
    pair a = pair::stream(), b = pair::stream();
    epoll_set s;
    put(b[1]);
    auto waiting = [&] { return weft::spawn([&] { return s.wait(); }); };

    auto f = waiting();
    weft::this_fiber::sleep_for(5ms);
    s.add(b[0]); // ready when it comes
    CHECK(f.get(patience) == b[0]);

    REQUIRE(s.control(EPOLL_CTL_MOD, b[0], 0) == 0);
    f = waiting();
    weft::this_fiber::sleep_for(5ms);
    REQUIRE(s.control(EPOLL_CTL_MOD, b[0], EPOLLIN) == 0);
    CHECK(f.get(patience) == b[0]);

    REQUIRE(s.control(EPOLL_CTL_DEL, b[0], 0) == 0);
    f = waiting();
    weft::this_fiber::sleep_for(5ms);
    s.add(a[0]);
    put(b[1]);
    weft::this_fiber::sleep_for(5ms);
    CHECK_FALSE(f.ready());
    put(a[1]);
    CHECK(f.get(patience) == a[0]);
}

TEST_CASE("one event at a time, none is lost: level, edge and one-shot") {
    for (const std::uint32_t how : {0U, static_cast<std::uint32_t>(EPOLLET), static_cast<std::uint32_t>(EPOLLONESHOT)}) {
        INFO(how);
        constexpr int count = 40;
        std::vector<std::unique_ptr<pair>> pairs;
        epoll_set s;
        for (int i = 0; i < count; ++i) {
            pairs.push_back(new_stream());
            s.add((*pairs.back())[0], EPOLLIN | how);
        }
        for (int readers : {1, 3}) {
            std::multiset<int> seen;
            std::vector<weft::fiber<void>> fibers;
            for (int i = 0; i < readers; ++i)
                fibers.push_back(weft::spawn([&] {
                    for (;;) {
                        const int fd = s.wait();
                        if (fd < 0) return;
                        char c;
                        if (::recv(fd, &c, 1, MSG_DONTWAIT) != 1) continue; // level-triggered: another was faster
                        seen.insert(fd);
                        if (how == EPOLLONESHOT) s.control(EPOLL_CTL_MOD, fd, EPOLLIN | how);
                    }
                }));
            weft::this_fiber::sleep_for(2ms);
            for (int round = 1; round <= 5; ++round) {
                for (auto& p : pairs) put((*p)[1]);
                CHECK(eventually([&] { return seen.size() == static_cast<std::size_t>(round * count); }));
            }
            for (auto& p : pairs) CHECK(seen.count((*p)[0]) == 5);
            weft::killall(fibers);
        }
    }
}

TEST_CASE("sets in sets, as deep as the kernel allows") {
    pair p = pair::stream();
    // The kernel's own limit, asked where no fiber waits.
    std::vector<std::unique_ptr<epoll_set>> sets;
    sets.push_back(std::make_unique<epoll_set>());
    sets[0]->add(p[0]);
    for (;;) {
        auto outer = std::make_unique<epoll_set>();
        if (outer->control(EPOLL_CTL_ADD, sets.back()->fd(), EPOLLIN) != 0) break;
        sets.push_back(std::move(outer));
    }
    CHECK(errno == ELOOP);
    CHECK(sets.size() >= 4);
    for (auto& s : sets) {
        auto f = weft::spawn([&] { return s->wait(); });
        weft::this_fiber::sleep_for(5ms);
        CHECK_FALSE(f.ready());
        put(p[1]);
        CHECK(f.get(patience) >= 0);
        get(p[0]);
    }
    // And built while a fiber waits for the innermost.
    std::vector<std::unique_ptr<epoll_set>> more;
    more.push_back(std::make_unique<epoll_set>());
    more[0]->add(p[0]);
    auto f = weft::spawn([&] { return more[0]->wait(); });
    while (more.size() < sets.size()) {
        weft::this_fiber::sleep_for(2ms);
        more.push_back(std::make_unique<epoll_set>());
        more.back()->add(more[more.size() - 2]->fd());
    }
    auto g = weft::spawn([&] { return more.back()->wait(); });
    weft::this_fiber::sleep_for(5ms);
    put(p[1]);
    CHECK(f.get(patience) == p[0]);
    CHECK(g.get(patience) >= 0);
}

TEST_CASE("two hundred sets share a descriptor, each has its fiber") {
    constexpr int count = 200;
    pair p = pair::stream();
    std::vector<std::unique_ptr<epoll_set>> sets;
    std::vector<weft::fiber<int>> fibers;
    for (int i = 0; i < count; ++i) {
        sets.push_back(std::make_unique<epoll_set>());
        sets.back()->add(p[0]);
        fibers.push_back(weft::spawn([s = sets.back().get()] { return s->wait(); }));
        weft::this_fiber::yield();
    }
    put(p[1]);
    for (auto& f : fibers) CHECK(f.get(patience) == p[0]);
}

TEST_CASE("a set is shared by fibers and kernel threads") {
    epoll_set s;
    const int fd = ::eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
    s.add(fd);
    constexpr int count = 400;
    std::atomic<int> taken{0};
    auto work = [&] {
        while (taken.load() < count) {
            if (s.wait(20) < 0) continue;
            std::uint64_t one = 0;
            if (::read(fd, &one, sizeof one) == sizeof one) ++taken;
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] {
        auto a = weft::spawn(work), b = weft::spawn(work);
        a.get();
        b.get();
    });
    std::thread plain(work);
    std::vector<weft::fiber<void>> fibers;
    for (int i = 0; i < 3; ++i) fibers.push_back(weft::spawn(work));
    for (int i = 0; i < count; ++i) {
        const std::uint64_t one = 1;
        CHECK(::write(fd, &one, sizeof one) == sizeof one);
        if (i % 10 == 0) weft::this_fiber::sleep_for(1ms);
    }
    for (auto& f : fibers) f.get(patience);
    for (auto& t : threads) t.join();
    plain.join();
    CHECK(taken.load() == count);
    ::close(fd);
}

TEST_CASE("the time limit of epoll_pwait2 is exact below a millisecond") {
    epoll_set s;
    epoll_event e{};
    auto f = weft::spawn([&] {
        auto least = std::chrono::nanoseconds::max();
        for (int i = 0; i < 20; ++i) {
            const auto start = std::chrono::steady_clock::now();
            const timespec limit{0, 300'000};
            CHECK(::epoll_pwait2(s.fd(), &e, 1, &limit, nullptr) == 0);
            const auto took = std::chrono::steady_clock::now() - start;
            CHECK(took >= 300us);
            least = std::min<std::chrono::nanoseconds>(least, took);
        }
        return least;
    });
    CHECK(f.get(patience) < 900us);
}
