// SPDX-License-Identifier: Apache-2.0
// hiredis in fibers: blocking calls that let the other fibers run, and its own errors where a command ends otherwise.
#include "concurrent.hpp"
#include "programs.hpp"
#include "server.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <cstdarg>
#include <cstring>
#include <hiredis/hiredis.h>
#include <memory>
#include <string>
#include <vector>

using namespace clients_test;

namespace {

using connection = std::unique_ptr<redisContext, decltype(&redisFree)>;
using reply = std::unique_ptr<redisReply, void (*)(redisReply*)>;

class redis {
public:
    // Its clock of blocked commands goes hz times a second.
    redis()
        : server_(
              {"redis-server", "--port", std::to_string(port_), "--bind", "127.0.0.1", "--save", "", "--dir", place_.path(), "--hz", "100",
               "--unixsocket", socket_path(), "--daemonize", "no"},
              port_, place_, user::nobody) {}
    [[nodiscard]] connection connect(const char* host = "127.0.0.1") const { return {redisConnect(host, port_), &redisFree}; }
    [[nodiscard]] std::string socket_path() const { return place_ / "redis.sock"; }
    server& process() { return server_; }

private:
    directory place_;
    std::uint16_t port_ = free_port();
    server server_;
};

reply ask(redisContext* c, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    auto* r = static_cast<redisReply*>(redisvCommand(c, format, arguments));
    va_end(arguments);
    return {r, [](redisReply* one) { freeReplyObject(one); }};
}

bool is_good(const connection& c) {
    return c != nullptr && c->err == 0;
}

std::string text(const reply& r) {
    return r == nullptr || r->str == nullptr ? std::string() : std::string(r->str, r->len);
}

} // namespace

TEST_CASE("a hundred fibers ask Redis at once", "[serial]") {
    const redis db;
    std::vector<connection> connections;
    for (int i = 0; i < fibers; ++i) connections.push_back(db.connect());
    for (const auto& c : connections) REQUIRE(is_good(c));
    int failures = 0;
    const auto took = measure("hiredis", [&](int i) {
        const auto r = ask(connections[static_cast<std::size_t>(i)].get(), "BLPOP nothing:%d 0.1", i);
        if (r == nullptr || r->type != REDIS_REPLY_NIL) ++failures;
    });
    CHECK(failures == 0);
    CHECK(took < limit_for_all);
}

TEST_CASE("fibers wait for each other through Redis") {
    const redis db;
    std::vector<weft::fiber<std::string>> takers;
    for (int i = 0; i < 20; ++i)
        takers.push_back(weft::spawn([&db, i] {
            const auto c = i % 2 == 0 ? db.connect("localhost") : connection(redisConnectUnix(db.socket_path().c_str()), &redisFree);
            if (!is_good(c)) return std::string("no connection");
            const auto r = ask(c.get(), "BLPOP queue:%d 10", i);
            return r != nullptr && r->type == REDIS_REPLY_ARRAY ? std::string(r->element[1]->str, r->element[1]->len)
                                                                : std::string("nothing");
        }));
    auto giver = weft::spawn([&db] {
        const auto c = db.connect();
        for (int i = 0; i < 20; ++i) CHECK(ask(c.get(), "RPUSH queue:%d value-%d", i, i) != nullptr);
    });
    giver.get(patience);
    for (int i = 0; i < 20; ++i) CHECK(takers[static_cast<std::size_t>(i)].get(patience) == "value-" + std::to_string(i));
}

TEST_CASE("big values go to Redis and come back whole") {
    const redis db;
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(weft::spawn([&db, i] {
            const auto c = db.connect();
            std::string value;
            for (int n = 0; value.size() < 10'000'000; ++n) value += std::to_string(n * (i + 1)) + " ";
            CHECK(text(ask(c.get(), "SET big:%d %b", i, value.data(), value.size())) == "OK");
            CHECK((text(ask(c.get(), "GET big:%d", i)) == value));
        }));
    for (auto& f : all) f.get(patience);
}

TEST_CASE("a command to Redis is cancelled by a timeout or a kill, and its connection can be closed") {
    const redis db;
    weft::spawn([&] {
        const auto c = db.connect();
        CHECK_THROWS_AS(weft::with_timeout(100ms, [&] { (void)ask(c.get(), "BLPOP nothing 0"); }), weft::timeout_error);
        CHECK(c->err == REDIS_ERR_IO);
        CHECK(redisReconnect(c.get()) == REDIS_OK);
        CHECK(text(ask(c.get(), "PING")) == "PONG");
    }).get(patience);

    bool asked = false, closed = false;
    auto f = weft::spawn([&] {
        struct note {
            bool& closed;
            ~note() { closed = true; }
        } const at_end{closed};
        const auto c = db.connect();
        asked = true;
        (void)ask(c.get(), "BLPOP nothing 0");
        weft::this_fiber::yield();
        FAIL("the kill was lost");
    });
    const auto watcher = db.connect();
    wait_until(
        [&] { return asked && text(ask(watcher.get(), "CLIENT LIST")).find("cmd=blpop") != std::string::npos; },
        "the command is in flight");
    CHECK(time_of([&] { CHECK(f.kill(patience)); }) < 2s);
    CHECK(closed);
    wait_until(
        [&] { return text(ask(watcher.get(), "CLIENT LIST")).find("cmd=blpop") == std::string::npos; },
        "Redis sees the end of the connection");
}

TEST_CASE("hiredis's own time limit is its own error") {
    const redis db;
    weft::spawn([&] {
        const auto c = db.connect();
        CHECK(redisSetTimeout(c.get(), timeval{0, 100000}) == REDIS_OK); // SO_RCVTIMEO
        const auto took = time_of([&] { CHECK(ask(c.get(), "BLPOP nothing 0") == nullptr); });
        CHECK(c->err == REDIS_ERR_IO);
        CHECK(took >= 95ms);
        CHECK(took < 2s);
    }).get(patience);
}

TEST_CASE("a Redis that restarts is an error of hiredis, then a connection again") {
    redis db;
    std::vector<connection> connections;
    for (int i = 0; i < 10; ++i) connections.push_back(db.connect());
    std::vector<weft::fiber<int>> waits;
    for (auto& c : connections) waits.push_back(weft::spawn([&c] { return ask(c.get(), "BLPOP nothing 0") == nullptr ? c->err : 0; }));
    const auto watcher = db.connect();
    wait_until(
        [&] { return text(ask(watcher.get(), "INFO clients")).find("blocked_clients:10") != std::string::npos; },
        "the commands are in flight");
    db.process().stop(SIGTERM);
    for (auto& w : waits) {
        const int error = w.get(patience);
        CHECK((error == REDIS_ERR_EOF || error == REDIS_ERR_IO));
    }
    weft::spawn([&] {
        const auto refused = db.connect();
        CHECK(refused->err == REDIS_ERR_IO);
        CHECK(std::string(refused->errstr) == "Connection refused");
    }).get(patience);
    db.process().start();
    std::vector<weft::fiber<bool>> again;
    for (auto& c : connections)
        again.push_back(weft::spawn([&c] { return redisReconnect(c.get()) == REDIS_OK && text(ask(c.get(), "PING")) == "PONG"; }));
    for (auto& a : again) CHECK(a.get(patience));
}

TEST_CASE("redis-cli and redis-benchmark do under weft what they do without") {
    redis db;
    const std::string cli = "timeout 60 $WEFT redis-cli -p " + std::to_string(db.process().port());
    same_under_weft(
        "{ echo flushall; echo set a b; echo get a; echo blpop none 0.2; seq -f 'rpush l %g' 100; echo lrange l 0 -1; echo wrong; } | " +
        cli);
    same_under_weft("seq -f 'SET key:%g value' 2000 | sed 's/$/\\r/' | " + cli + " --pipe | tail -1");
    same_under_weft("head -c 1000000 /dev/zero | tr '\\0' x | " + cli + " -x set big; " + cli + " get big | md5sum");
    same_under_weft(
        "timeout 60 $WEFT redis-benchmark -p " + std::to_string(db.process().port()) +
        " -n 2000 -c 20 -q -t set,get | tr '\\r' '\\n' | grep -c 'requests per second'");
    same_under_weft(
        "timeout 60 $WEFT redis-benchmark --threads 3 -p " + std::to_string(db.process().port()) +
        " -n 2000 -c 20 -q -t set,get | tr '\\r' '\\n' | grep -c 'requests per second'");
}
