// SPDX-License-Identifier: Apache-2.0
// Questions to a name server, which is a fiber of the same hub: several at once, killed ones and late ones.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <vector>

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

using namespace shim_test;

namespace {

/// Answers each question after a while with the address 192.0.2.n, n being the name's first letter; names that begin with s never.
class name_server {
public:
    name_server() : fd_(::socket(AF_INET, SOCK_DGRAM, 0)) {
        socklen_t size = sizeof where_;
        where_.sin_family = AF_INET;
        where_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&where_), size) == 0);
        REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&where_), &size) == 0);
        fiber_ = weft::spawn([this] {
            for (;;) {
                std::vector<unsigned char> packet(512);
                sockaddr_in from{};
                socklen_t from_size = sizeof from;
                const ssize_t n = ::recvfrom(fd_, packet.data(), 400, 0, reinterpret_cast<sockaddr*>(&from), &from_size);
                if (n < 0) return;
                ++questions;
                if (packet[13] == 's') continue;
                weft::spawn_later(blocking_time, [this, packet, from]() mutable { answer(packet, from); });
            }
        });
    }
    ~name_server() {
        fiber_.kill();
        fiber_.join(patience);
        ::close(fd_);
    }
    name_server(const name_server&) = delete;
    name_server& operator=(const name_server&) = delete;

    /// Ask this server only.
    void point(struct __res_state& s) const {
        s.nsaddr_list[0] = where_;
        s.nscount = 1;
        s.retrans = 5;
        s.retry = 1;
        s.options &= ~static_cast<unsigned long>(RES_DNSRCH | RES_DEFNAMES);
    }

    int questions = 0;

private:
    void answer(std::vector<unsigned char>& packet, const sockaddr_in& to) const {
        std::size_t end = 12;
        while (packet[end] != 0) end += packet[end] + 1U;
        end += 5;
        const unsigned char record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, packet[13]};
        packet[2] |= 0x84;
        packet[3] = 0x80;
        packet[7] = 1;
        packet[11] = 0;
        std::memcpy(packet.data() + end, record, sizeof record);
        CHECK(::sendto(fd_, packet.data(), end + sizeof record, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) > 0);
    }

    int fd_;
    sockaddr_in where_{};
    weft::fiber<void> fiber_;
};

/// The kernel thread's own state points to the server meanwhile.
class pointed {
public:
    explicit pointed(const name_server& s) {
        ::res_init();
        before_ = _res;
        s.point(_res);
    }
    ~pointed() {
        _res.nsaddr_list[0] = before_.nsaddr_list[0];
        _res.nscount = before_.nscount;
        _res.retrans = before_.retrans;
        _res.retry = before_.retry;
        _res.options = before_.options;
    }
    pointed(const pointed&) = delete;
    pointed& operator=(const pointed&) = delete;

private:
    struct __res_state before_;
};

} // namespace

TEST_CASE("several fibers ask at once and each gets its answer") {
    name_server server;
    const pointed here(server);
    std::vector<weft::fiber<void>> fibers;
    const auto start = std::chrono::steady_clock::now();
    for (char c = 'a'; c < 'g'; ++c)
        fibers.push_back(weft::spawn([c] {
            unsigned char answer[512];
            const std::string name = std::string(1, c) + ".example";
            const int n = ::res_query(name.c_str(), C_IN, T_A, answer, sizeof answer);
            REQUIRE(n > 12);
            CHECK(answer[n - 1] == c);
        }));
    for (auto& f : fibers) CHECK(f.join(patience));
    CHECK(std::chrono::steady_clock::now() - start < 6 * blocking_time);
}

TEST_CASE("res_query and getaddrinfo let other fibers run") {
    name_server server;
    const pointed here(server);
    unsigned char answer[512];
    const outcome o = in_fiber([&] { return long{::res_query("a.example", C_IN, T_A, answer, sizeof answer)}; });
    CHECK(o.result > 12);
    CHECK(o.ticks >= 10);
    const outcome g = in_fiber([&] {
        addrinfo hints{}, *found = nullptr;
        hints.ai_family = AF_INET;
        const long result = ::getaddrinfo("a.example", nullptr, &hints, &found);
        if (found != nullptr) ::freeaddrinfo(found);
        return result;
    });
    CHECK(g.result == 0);
    CHECK(g.ticks >= 10);
}

TEST_CASE("kill and time-outs reach in") {
    name_server server;
    const pointed here(server);
    int error = 0;
    auto ask = [&] {
        unsigned char answer[512];
        errno = 0;
        CHECK(::res_query("s.example", C_IN, T_A, answer, sizeof answer) == -1);
        error = errno;
    };
    auto f = weft::spawn(ask);
    CHECK(eventually([&] { return server.questions == 1; }));
    f.kill();
    CHECK(f.join(patience));
    CHECK(error == ECANCELED);
    auto late = weft::spawn([&] {
        try {
            const weft::timeout limit(20ms);
            ask();
            weft::this_fiber::yield();
            return false;
        } catch (const weft::timeout_error&) {
            return true;
        }
    });
    CHECK(late.get(patience));
    CHECK(error == ETIMEDOUT);
}

TEST_CASE("asynchronous look-ups are waited for while other fibers run") {
    gaicb one{}, two{};
    one.ar_name = "localhost";
    two.ar_name = "127.0.0.1";
    gaicb* list[] = {&one, &two};
    ticker t;
    auto f = weft::spawn([&] { return ::getaddrinfo_a(GAI_WAIT, list, 2, nullptr); });
    CHECK(f.get(patience) == 0);
    CHECK(::gai_error(&one) == 0);
    CHECK(::gai_error(&two) == 0);
    ::freeaddrinfo(one.ar_result);
    ::freeaddrinfo(two.ar_result);
}
