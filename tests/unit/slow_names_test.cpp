// SPDX-License-Identifier: Apache-2.0
// connection::open by a name whose server does not answer: it is left at its deadline, by a kill and by a timeout, and others run meanwhile.
#include <weft/connection.hpp>
#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>

#include <dlfcn.h>
#include <netdb.h>

using namespace std::chrono_literals;
using weft::connection;

namespace {

std::mutex lock;
std::condition_variable changed;
bool answers = false; // the name server
std::atomic<int> asked{0};

} // namespace

/// libc's, but who asks for slow.example waits until the server answers, and then there is no such name.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** found) {
    if (host != nullptr && std::strcmp(host, "slow.example") == 0 && (hints->ai_flags & AI_NUMERICHOST) == 0) {
        ++asked;
        std::unique_lock hold(lock);
        changed.wait(hold, [] { return answers; });
        return EAI_NONAME;
    }
    static auto* const libcs = reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    return libcs(host, service, hints, found);
}

TEST_CASE("a name that is slow to look up") {
    const auto slow = [] { connection::open("slow.example:80"); };
    CHECK_THROWS_AS(connection::open("slow.example:80", 0s), weft::timeout_error);
    CHECK_THROWS_AS(connection::open("slow.example:80", 20ms), weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(20ms, slow), weft::timeout_error);
    auto killed = weft::spawn(slow);
    const int before = asked;
    while (asked == before) weft::this_fiber::sleep_for(1ms);
    killed.kill();
    CHECK(killed.join(30s));
    CHECK_THROWS_AS(killed.get(), weft::fiber_killed);
    std::thread without_a_hub([] { CHECK_THROWS_AS(connection::open("slow.example:80", 20ms), weft::timeout_error); });
    without_a_hub.join();

    auto waits = weft::spawn([] {
        std::string what;
        try {
            connection::open("slow.example:80", 60s);
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        return what;
    });
    weft::this_fiber::yield();
    CHECK_THROWS_AS(connection::open("127.0.0.1:1", 30s), std::system_error); // numbers are not kept waiting
    {
        const std::lock_guard hold(lock);
        answers = true;
    }
    changed.notify_all();
    CHECK(waits.get(60s).find("slow.example") != std::string::npos);
}
