// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crawl {

/// What one robots.txt says to one crawler, by RFC 9309: the groups that name it (or else those for "*") together,
/// the longest matching rule wins, allow before disallow where they tie, "*" and a final "$" as wildcards.
///
/// @code
/// auto rules = crawl::robots_rules::parse("User-agent: *\nDisallow: /private\n", "weft-crawler");
/// bool may = rules.allows("/private/x");  // false
/// @endcode
class robots_rules {
public:
    /// Everything is allowed: there is no robots.txt (any 4xx answer).
    static robots_rules allow_all() { return {}; }

    /// Nothing is allowed: the server could not say (5xx, no answer).
    static robots_rules disallow_all();

    /// The rules in `text` for the crawler whose product token is the start of `user_agent` ("weft-crawler/0.1" has the
    /// token "weft-crawler"). Lines that make no sense are skipped; only the first 500 KiB count.
    static robots_rules parse(std::string_view text, std::string_view user_agent);

    /// May the path with its query ("/a?b", in normal form) be fetched? "/robots.txt" always may.
    bool allows(std::string_view path_and_query) const;

    /// The Crawl-delay that the file asks for (not in the RFC, but in use), at most one hour.
    std::optional<std::chrono::milliseconds> crawl_delay() const { return crawl_delay_; }

private:
    struct rule {
        std::string pattern;
        bool allow;
    };
    std::vector<rule> rules_;
    std::optional<std::chrono::milliseconds> crawl_delay_;
};

} // namespace crawl
