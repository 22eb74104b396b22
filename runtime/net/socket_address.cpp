// SPDX-License-Identifier: Apache-2.0
#include <weft/connection.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace weft {

socket_address::socket_address(const sockaddr* from, unsigned size) noexcept
    : size_(std::min<unsigned>(from == nullptr ? 0 : size, sizeof bytes_)) {
    static_assert(sizeof bytes_ >= sizeof(sockaddr_storage));
    std::memcpy(bytes_, from, size_);
}

int socket_address::family() const noexcept {
    sa_family_t f = AF_UNSPEC;
    if (size_ >= sizeof f) std::memcpy(&f, bytes_, sizeof f);
    return f;
}

std::uint16_t socket_address::port() const noexcept {
    if (family() != AF_INET && family() != AF_INET6) return 0;
    return ntohs(reinterpret_cast<const sockaddr_in*>(bytes_)->sin_port); // at the same place in both
}

std::string socket_address::host() const {
    char text[INET6_ADDRSTRLEN + 1] = {};
    switch (family()) {
    case AF_INET:
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(bytes_)->sin_addr, text, sizeof text);
        return text;
    case AF_INET6: {
        const in6_addr& a = reinterpret_cast<const sockaddr_in6*>(bytes_)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&a)) ::inet_ntop(AF_INET, &a.s6_addr[12], text, sizeof text);
        else ::inet_ntop(AF_INET6, &a, text, sizeof text);
        return text;
    }
    case AF_UNIX: {
        constexpr std::size_t begin = offsetof(sockaddr_un, sun_path);
        if (size_ <= begin) return {};
        const char* path = reinterpret_cast<const sockaddr_un*>(bytes_)->sun_path;
        const std::size_t length = size_ - begin;
        if (path[0] == 0) return std::string(1, '@').append(path + 1, length - 1);
        return std::string(path, ::strnlen(path, length));
    }
    default: return {};
    }
}

std::string socket_address::to_string() const {
    const int f = family();
    if (f == AF_UNSPEC) return {};
    if (f == AF_UNIX) return "unix:" + host();
    std::string h = host();
    if (h.find(':') != std::string::npos) h = "[" + h + "]";
    return h + ":" + std::to_string(port());
}

bool operator==(const socket_address& a, const socket_address& b) noexcept {
    return a.size_ == b.size_ && std::memcmp(a.bytes_, b.bytes_, a.size_) == 0;
}

} // namespace weft
