// SPDX-License-Identifier: Apache-2.0
#include "redis.hpp"

#include <weft/fiber.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace crawl {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr timeval connect_limit{5, 0};
constexpr timeval answer_limit{10, 0};
constexpr milliseconds first_pause = 50ms;
constexpr milliseconds last_pause = 2s;

redis::reply send(redisContext* over, const redis::words& all) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const auto& word : all) {
        texts.push_back(word.data());
        sizes.push_back(word.size());
    }
    void* got = redisCommandArgv(over, static_cast<int>(all.size()), texts.data(), sizes.data());
    if (got == nullptr) throw redis_lost(over->errstr);
    return {static_cast<redisReply*>(got), [](redisReply* r) { freeReplyObject(r); }};
}

/// What a server says that is about to be there again.
bool passes(const std::string& error) {
    return error.starts_with("LOADING") || error.starts_with("MASTERDOWN") || error.starts_with("BUSY ") || error.starts_with("TRYAGAIN");
}

void check(const redis::reply& got) {
    if (got->type != REDIS_REPLY_ERROR) return;
    const std::string text(got->str, got->len);
    if (passes(text)) throw redis_lost(text);
    throw redis_error(text);
}

} // namespace

redis::redis(redis_address where, milliseconds patience) : where_(std::move(where)), patience_(patience) {}

redis::connection redis::connect() const {
    connection made(redisConnectWithTimeout(where_.host.c_str(), where_.port, connect_limit), &redisFree);
    if (made == nullptr) throw redis_lost("out of memory");
    if (made->err != 0) throw redis_lost(made->errstr);
    redisSetTimeout(made.get(), answer_limit);
    if (where_.password.empty()) return made;
    check(send(made.get(), where_.user.empty() ? words{"AUTH", where_.password} : words{"AUTH", where_.user, where_.password}));
    return made;
}

redis::reply redis::try_command(const words& all) {
    struct place { // One of the connections; given back in every case.
        weft::semaphore& of;
        explicit place(weft::semaphore& s) : of(s) { of.acquire(); }
        ~place() { of.release(); }
    } const here(places_);
    connection over(nullptr, &redisFree);
    if (idle_.empty()) {
        over = connect();
    } else {
        over = std::move(idle_.back());
        idle_.pop_back();
    }
    auto got = send(over.get(), all);
    // What is thrown until here closes the connection: it may be in the middle of an answer.
    idle_.push_back(std::move(over));
    check(got);
    return got;
}

redis::reply redis::command(const words& all) {
    const auto start = std::chrono::steady_clock::now();
    for (auto pause = first_pause;; pause = std::min(pause * 2, last_pause)) {
        std::string why;
        try {
            return try_command(all);
        } catch (const redis_lost& e) {
            why = e.what();
            idle_.clear(); // The others end with the same server.
        }
        const auto left = patience_ - std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
        if (left <= 0ms)
            throw redis_lost("lost the frontier " + where_.text() + ": " + why + " (waited " + std::to_string(patience_.count()) + " ms)");
        weft::this_fiber::sleep_for(std::min(pause, left));
    }
}

} // namespace crawl
