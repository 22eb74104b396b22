// SPDX-License-Identifier: Apache-2.0
#include "redis_address.hpp"

#include "url.hpp"

#include <charconv>

namespace crawl {

std::string redis_address::text() const {
    const bool six = host.find(':') != std::string::npos;
    return "redis://" + (six ? "[" + host + "]" : host) + ":" + std::to_string(port) + "/" + key;
}

std::optional<redis_address> parse_redis_url(std::string_view text) {
    constexpr std::string_view scheme = "redis://";
    if (!text.starts_with(scheme)) return std::nullopt;
    text.remove_prefix(scheme.size());
    const auto slash = text.rfind('/');
    if (slash == std::string_view::npos || slash + 1 == text.size()) return std::nullopt;
    redis_address out;
    out.key = text.substr(slash + 1);
    auto place = text.substr(0, slash);
    if (const auto at = place.rfind('@'); at != std::string_view::npos) {
        const auto who = place.substr(0, at);
        const auto colon = who.find(':');
        if (colon == std::string_view::npos) return std::nullopt;
        out.user = percent_decode(who.substr(0, colon));
        out.password = percent_decode(who.substr(colon + 1));
        place.remove_prefix(at + 1);
    }
    if (place.starts_with('[')) {
        const auto end = place.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        out.host = place.substr(1, end - 1);
        place.remove_prefix(end + 1);
    } else {
        out.host = place.substr(0, place.find(':'));
        place.remove_prefix(out.host.size());
    }
    if (out.host.empty() || out.host.find_first_of("/ ?#") != std::string::npos) return std::nullopt;
    if (out.key.find_first_of(" {}?#") != std::string::npos) return std::nullopt;
    if (place.empty()) return out;
    const auto digits = place.substr(1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
    const bool good = place.front() == ':' && error == std::errc() && end == digits.data() + digits.size();
    if (!good || out.port < 1 || out.port > 65535) return std::nullopt;
    return out;
}

} // namespace crawl
