// SPDX-License-Identifier: Apache-2.0
#include "robots.hpp"

#include "url.hpp"

#include <algorithm>
#include <charconv>

namespace crawl {
namespace {

constexpr std::size_t largest_file = 500 * 1024;

std::string_view trim(std::string_view text) {
    constexpr std::string_view spaces = " \t\r\f";
    const auto first = text.find_first_not_of(spaces);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

std::string lower_text(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return out;
}

/// "weft-crawler/0.1 (+url)" to "weft-crawler".
std::string product_token(std::string_view user_agent) {
    const auto end = std::find_if(user_agent.begin(), user_agent.end(), [](char c) {
        return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_');
    });
    return lower_text(user_agent.substr(0, static_cast<std::size_t>(end - user_agent.begin())));
}

/// A path as rules and URLs both spell it, so that "%7Ejoe" and "~joe" match; "*" and "$" stay themselves.
std::string comparable(std::string_view path) {
    std::string text(path);
    const bool anchored = !text.empty() && text.back() == '$';
    if (anchored) text.pop_back();
    constexpr std::string_view site = "http://robots.invalid";
    const auto url = parse_url(std::string(site) + (text.starts_with('/') ? "" : "/") + text);
    std::string out = url ? url->substr(site.size()) : text;
    if (anchored) out += '$';
    return out;
}

/// Does `pattern` match the start of `path`? Linear but for the one star that is retried.
bool matches(std::string_view pattern, std::string_view path) {
    const bool anchored = !pattern.empty() && pattern.back() == '$';
    if (anchored) pattern.remove_suffix(1);
    std::size_t at = 0;
    std::size_t in = 0;
    std::size_t star = std::string_view::npos;
    std::size_t retry = 0;
    while (true) {
        if (at == pattern.size()) {
            if (!anchored || in == path.size()) return true;
        } else if (pattern[at] == '*') {
            star = at++;
            retry = in;
            continue;
        } else if (in < path.size() && pattern[at] == path[in]) {
            ++at;
            ++in;
            continue;
        }
        if (star == std::string_view::npos || retry >= path.size()) return false;
        at = star + 1;
        in = ++retry;
    }
}

std::optional<std::chrono::milliseconds> parse_delay(std::string_view value) {
    double seconds = 0;
    const auto result = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (result.ec != std::errc() || !(seconds >= 0)) return std::nullopt;
    return std::chrono::milliseconds(static_cast<std::int64_t>(std::min(seconds, 3600.0) * 1000));
}

} // namespace

robots_rules robots_rules::disallow_all() {
    robots_rules out;
    out.rules_.push_back({"/", false});
    return out;
}

robots_rules robots_rules::parse(std::string_view text, std::string_view user_agent) {
    const std::string token = product_token(user_agent);
    robots_rules own;
    robots_rules everyone;
    bool own_group_exists = false;
    bool for_own = false;
    bool for_everyone = false;
    bool in_agents = false; // Consecutive user-agent lines share one group.

    text = text.substr(0, largest_file);
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    while (!text.empty()) {
        const auto end = std::min(text.find_first_of("\r\n"), text.size());
        auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        line = line.substr(0, line.find('#'));
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        const std::string key = lower_text(trim(line.substr(0, colon)));
        const auto value = trim(line.substr(colon + 1));

        if (key == "user-agent") {
            if (!in_agents) for_own = for_everyone = false;
            in_agents = true;
            for_everyone |= value == "*";
            for_own |= !token.empty() && product_token(value) == token;
            own_group_exists |= for_own;
            continue;
        }
        if (key != "allow" && key != "disallow" && key != "crawl-delay") continue;
        in_agents = false;
        for (auto* rules : {for_own ? &own : nullptr, for_everyone ? &everyone : nullptr}) {
            if (!rules) continue;
            if (key == "crawl-delay") rules->crawl_delay_ = parse_delay(value);
            else if (!value.empty())
                rules->rules_.push_back(
                    {value.front() == '*' ? std::string(value) : comparable(value), key == "allow"});
        }
    }
    return own_group_exists ? own : everyone;
}

bool robots_rules::allows(std::string_view path_and_query) const {
    if (path_and_query == "/robots.txt") return true;
    const rule* best = nullptr;
    for (const auto& candidate : rules_) {
        if (!matches(candidate.pattern, path_and_query)) continue;
        const bool longer = !best || candidate.pattern.size() > best->pattern.size();
        const bool milder = best && candidate.pattern.size() == best->pattern.size() && candidate.allow;
        if (longer || milder) best = &candidate;
    }
    return !best || best->allow;
}

} // namespace crawl
