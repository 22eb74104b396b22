// SPDX-License-Identifier: Apache-2.0
#include "scope.hpp"

#include "url.hpp"

#include <algorithm>

namespace crawl {
namespace {

/// std::regex recurses for every character; a longer URL would need more than a fiber's stack.
constexpr std::size_t longest_matched = 512;

bool any_matches(const std::vector<std::regex>& expressions, std::string_view url) {
    url = url.substr(0, longest_matched);
    return std::any_of(expressions.begin(), expressions.end(), [&](const std::regex& e) {
        return std::regex_search(url.begin(), url.end(), e);
    });
}

} // namespace

void scope::stay_on_host_of(std::string_view url) {
    hosts_.emplace(split_url(url).site);
}

bool scope::contains(std::string_view url) const {
    if (!hosts_.empty() && !hosts_.contains(split_url(url).site)) return false;
    if (!include_.empty() && !any_matches(include_, url)) return false;
    return !any_matches(exclude_, url);
}

} // namespace crawl
