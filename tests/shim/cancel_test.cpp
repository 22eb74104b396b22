// SPDX-License-Identifier: Apache-2.0
// weft::cancel_wait ends libc's calls that wait for a descriptor.
#include "ticker.hpp"

#include <weft/io.hpp>

#include <catch2/catch.hpp>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

using namespace shim_test;

namespace {

char text[256];

template <class Call>
void check_cancelled(int fd, Call call) {
    const outcome o = in_fiber(call, [=] { weft::cancel_wait(fd); });
    CHECK(o.result == -1);
    CHECK(o.error == ECANCELED);
    CHECK(o.time >= blocking_time - 5ms);
}

} // namespace

TEST_CASE("cancel_wait fails reads, writes and polls with ECANCELED") {
    pair s = pair::stream();
    check_cancelled(s[0], [&] { return ::recv(s[0], text, 10, 0); });
    check_cancelled(s[0], [&] { return ::read(s[0], text, 10); });
    check_cancelled(s[0], [&] {
        pollfd p{s[0], POLLIN, 0};
        return ::poll(&p, 1, 5000);
    });
    check_cancelled(s[0], [&] {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(s[0], &set);
        return ::select(s[0] + 1, &set, nullptr, nullptr, nullptr);
    });
    fill(s[0]);
    check_cancelled(s[0], [&] { return ::send(s[0], text, 10, 0); });
    pair p = pair::pipe();
    check_cancelled(p[0], [&] { return ::read(p[0], text, 10); });
}

TEST_CASE("a cancelled descriptor goes on working") {
    pair s = pair::stream();
    check_cancelled(s[0], [&] { return ::recv(s[0], text, 10, 0); });
    const outcome o = in_fiber([&] { return ::recv(s[0], text, 10, 0); }, [&] { CHECK(::send(s[1], "later", 5, 0) == 5); });
    CHECK(o.result == 5);
}
