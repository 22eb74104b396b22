// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crawl {

/// One row of the output: what became of one URL.
struct record {
    std::string url;                ///< in normal form
    long status = 0;                ///< of the last attempt; 0: no answer
    std::string content_type;       ///< media type without parameters, lower case; empty when unknown
    std::uint64_t bytes = 0;        ///< of the body as kept: decompressed, and cut at --max-body
    std::uint64_t elapsed_ms = 0;   ///< of the last attempt
    int depth = 0;                  ///< links followed from a start URL; redirects do not count
    std::string referrer;           ///< the page on which it was found first; empty for a start URL
    int attempts = 0;               ///< requests made; 0: refused by robots.txt
    std::string location;           ///< the target of a redirect, in normal form where it is an http URL
    std::string error;              ///< empty, or why there is no (complete) answer
    std::vector<std::string> links; ///< what an HTML page of a 2xx answer links to, in normal form

    bool redirected() const { return status >= 300 && status < 400 && !location.empty(); }
    bool refused() const { return attempts == 0; }
    bool cut() const;    ///< the body was longer than --max-body
    bool failed() const; ///< no complete answer, or one of 400 and above; a refused URL did not fail
};

/// The text of `error` for a body that was cut at `limit` bytes, and for a URL that robots.txt refuses.
std::string cut_error(std::uint64_t limit);
inline constexpr std::string_view refused_error = "refused by robots.txt";

/// One line of JSON without its line end; bytes that are no UTF-8 become U+FFFD. Empty texts are written as null.
std::string to_json_line(const record& row);

/// The inverse; nothing when the line is no such row (a torn last line, say).
std::optional<record> from_json_line(std::string_view line);

} // namespace crawl
