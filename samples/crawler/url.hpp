// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace crawl {

/// An absolute http or https URL in the one spelling that is used as its identity: scheme and host in
/// lower case (host in punycode), no default port, no dot segments, no fragment, percent-encoding only
/// where it is needed and with upper-case digits. Two links to one page compare equal.
///
/// @code
/// auto base = crawl::parse_url("HTTP://Example.com:80/a/b.html");
/// auto link = crawl::resolve_url(*base, "../%7Euser/./x y.html#top");
/// // link == "http://example.com/~user/x%20y.html"
/// @endcode
using url_text = std::string;

/// The normal form of an absolute URL; nothing when it is not one that can be fetched by http or https.
std::optional<url_text> parse_url(std::string_view text);

/// As parse_url, for what a person types: "example.com/x" means "http://example.com/x".
std::optional<url_text> parse_url_argument(std::string_view text);

/// The normal form of `reference` as found in a document at `base` (itself in normal form), resolved as browsers
/// do: tabs and line ends are dropped, outer spaces cut, a backslash is a slash. Nothing for what is not
/// http or https (mailto:, javascript:, data:) or is no URL at all.
std::optional<url_text> resolve_url(std::string_view base, std::string_view reference);

/// The parts of a URL in normal form. They are views into its text.
struct url_parts {
    std::string_view scheme; ///< "http" or "https"
    std::string_view site;   ///< host with its port where that is not the default: "example.com:8080"
    std::string_view path;   ///< from the first slash to the query
    std::string_view query;  ///< with its "?", or empty
};

/// Splits a URL in normal form; user name and password belong to no part. What is no URL has no parts.
url_parts split_url(std::string_view url);

/// "scheme://host[:port]" of a URL in normal form, without user name and password: what one robots.txt speaks for.
std::string origin_of(std::string_view url);

/// "%41" to "A" throughout; a "%" that starts no escape stays as it is.
std::string percent_decode(std::string_view text);

} // namespace crawl
