// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <vector>

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

/// A name server that is a fiber of the calling hub.
namespace shim_test {

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

} // namespace shim_test
