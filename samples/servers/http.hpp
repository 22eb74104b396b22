// SPDX-License-Identifier: Apache-2.0
#pragma once

// As much of HTTP/1.1 as a file server and its client need.

#include <weft/connection.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace http {

/// A message that is to be answered with that status, after which the connection is closed.
struct refused {
    int status;
};

/// Names in lower case.
using headers = std::map<std::string, std::string, std::less<>>;

struct request {
    std::string method;
    std::string path; // decoded, normalised, without the query; begins with '/'
    bool is_1_1 = true;
    headers fields;

    [[nodiscard]] std::string_view field(std::string_view name) const;
    /// The client means to send another one after it.
    [[nodiscard]] bool keeps_alive() const;
    /// A body follows, which nobody here wants.
    [[nodiscard]] bool has_body() const;
};

/// The next request; none: the client is done. Throws refused, weft::timeout_error, std::system_error. `idle`: until its first line is there, then
/// `patience` for the rest.
std::optional<request> read_request(weft::connection& from, std::chrono::seconds idle, std::chrono::seconds patience);

/// Bytes first to last of a file.
struct range {
    std::uint64_t first = 0, last = 0;
};

/// What a Range field asks of a file of that size. None: it is to be ignored (several ranges, another unit, nonsense). Throws refused{416} if there
/// is nothing there.
std::optional<range> parse_range(std::string_view field, std::uint64_t size);

/// "%41" to "A"; none where it is malformed or holds a NUL.
std::optional<std::string> decode(std::string_view text);
/// Without "." and ".."; none if it leads out of the root.
std::optional<std::string> normalise(std::string_view path);

std::string_view reason(int status);
/// As HTTP writes dates.
std::string date(std::int64_t seconds);
/// The type of a file, by the end of its name.
std::string_view type_of(std::string_view path);

} // namespace http
