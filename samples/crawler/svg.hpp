// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crawl {

/// `text` with & < > " ' as character references, control characters as U+FFFD: safe between tags and in quoted attributes.
std::string html_escape(std::string_view text);

/// One bar: its label below, its value above, and the words that a pointer over it shows.
struct bar {
    std::string label;
    std::uint64_t value;
    std::string hint;
};

/// A bar chart as an inline SVG element. Labels are thinned out where there are many bars; texts are escaped here.
std::string bar_chart(const std::vector<bar>& bars, std::string_view title);

/// One value per second as an area, as an inline SVG element; long runs are averaged down to what fits.
std::string rate_chart(const std::vector<std::uint64_t>& per_second, std::string_view title);

} // namespace crawl
