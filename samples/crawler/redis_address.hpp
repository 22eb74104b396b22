// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace crawl {

/// Where a shared frontier is: a Redis server, and a name in it that tells one crawl from another.
struct redis_address {
    std::string host;
    int port = 6379;
    std::string user; ///< empty: the default one
    std::string password;
    std::string key;

    /// As it was given, without user name and password.
    std::string text() const;
};

/// Reads "redis://[[user]:password@]host[:port]/key". User name and password may be percent-encoded, an IPv6 address is in brackets.
std::optional<redis_address> parse_redis_url(std::string_view text);

} // namespace crawl
