// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace crawl {

/// Which of the links found are part of the crawl (--same-host, --include, --exclude). Start URLs always are.
class scope {
public:
    /// Stay on these hosts; without a call every host is in. A host is name and port, where http's and https's own ports
    /// are one: http://h/ and https://h/ are the same host, http://h:8080/ is another.
    void stay_on_host_of(std::string_view url);

    /// Only URLs that one of the expressions (ECMAScript, found anywhere in the URL) matches. Throws std::regex_error.
    void include(const std::string& expression) { include_.emplace_back(expression, flags); }

    /// No URL that one of the expressions matches; stronger than include. Throws std::regex_error.
    void exclude(const std::string& expression) { exclude_.emplace_back(expression, flags); }

    /// Is this URL in normal form part of the crawl?
    bool contains(std::string_view url) const;

private:
    static constexpr auto flags = std::regex::ECMAScript | std::regex::optimize;

    std::set<std::string, std::less<>> hosts_;
    std::vector<std::regex> include_;
    std::vector<std::regex> exclude_;
};

} // namespace crawl
