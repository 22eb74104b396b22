// SPDX-License-Identifier: Apache-2.0
// What getaddrinfo finds is kept for the time that the option says. The option is read when a program starts, so each case starts one:
// itself.
#include "name_server.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <vector>

#include <sys/wait.h>

using namespace shim_test;

namespace {

/// Whether this is the program with the option; if not, it has been run and has passed.
bool with_option(const char* seconds, const char* test) {
    if (std::getenv("WEFT_DNS_CACHE") != nullptr) return true;
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("WEFT_DNS_CACHE", seconds, 1);
        ::execl("/proc/self/exe", "dns_cache_test", test, nullptr);
        ::_exit(127);
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    return false;
}

/// The last byte of the address found, or minus the error.
int look_up(const char* name, int type = SOCK_STREAM) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = AF_INET;
    hints.ai_socktype = type;
    hints.ai_flags = AI_CANONNAME;
    if (const int error = ::getaddrinfo(name, "80", &hints, &found); error != 0) return error;
    const auto* address = reinterpret_cast<const sockaddr_in*>(found->ai_addr);
    const int last = static_cast<int>(ntohl(address->sin_addr.s_addr) & 0xff);
    CHECK(ntohs(address->sin_port) == 80);
    CHECK(found->ai_canonname != nullptr);
    ::freeaddrinfo(found);
    return last;
}

} // namespace

TEST_CASE("an answer is kept") {
    if (!with_option("30", "an answer is kept")) return;
    name_server server;
    const pointed here(server);
    CHECK(look_up("a.example") == 'a');
    const int asked = server.questions;
    for (int i = 0; i < 5; ++i) CHECK(look_up("a.example") == 'a');
    CHECK(server.questions == asked);
    CHECK(look_up("a.example", SOCK_DGRAM) == 'a'); // another question
    CHECK(server.questions > asked);
    CHECK(look_up("b.example") == 'b');
    const pid_t child = ::fork();
    if (child == 0) ::_exit(look_up("localhost") == 1 ? 0 : 1); // it has a cache of its own
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("an answer is kept no longer than said, and many do not grow it") {
    if (!with_option("1", "an answer is kept no longer than said*")) return;
    name_server server;
    const pointed here(server);
    CHECK(look_up("a.example") == 'a');
    const int asked = server.questions;
    weft::this_fiber::sleep_for(1100ms);
    CHECK(look_up("a.example") == 'a');
    CHECK(server.questions == 2 * asked);
    std::vector<weft::fiber<void>> fibers;
    for (int i = 0; i < 600; ++i)
        fibers.push_back(weft::spawn([i] { CHECK(look_up(("c" + std::to_string(i) + ".localhost").c_str()) > 0); }));
    for (auto& f : fibers) CHECK(f.join(patience));
}

TEST_CASE("without the option each call asks") {
    if (std::getenv("WEFT_DNS_CACHE") != nullptr) return;
    name_server server;
    const pointed here(server);
    CHECK(look_up("a.example") == 'a');
    const int asked = server.questions;
    CHECK(look_up("a.example") == 'a');
    CHECK(server.questions == 2 * asked);
}
