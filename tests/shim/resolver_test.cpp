// SPDX-License-Identifier: Apache-2.0
// Questions to a name server, which is a fiber of the same hub: several at once, killed ones and late ones.
#include "name_server.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace shim_test;

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

TEST_CASE("gevent_resolver_in_threads") {
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
