// SPDX-License-Identifier: Apache-2.0
#include "url.hpp"

#include <curl/curl.h>

#include <memory>

namespace crawl {
namespace {

using handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

constexpr std::string_view spaces_and_controls{
    "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
    "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ",
    33};

bool is_alpha(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_unreserved(char c) {
    return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    const char l = lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/// The byte that the escape at text[at] stands for, or -1.
int escaped_byte(std::string_view text, std::size_t at) {
    if (at + 2 >= text.size() || text[at] != '%') return -1;
    const int high = hex_value(text[at + 1]);
    const int low = hex_value(text[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void append_escape(std::string& out, unsigned char byte) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    out += '%';
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
}

/// What browsers do before they look at a reference: cut, drop tabs and line ends, and drop the fragment.
std::string clean(std::string_view text) {
    const auto first = text.find_first_not_of(spaces_and_controls);
    if (first == std::string_view::npos) return {};
    text = text.substr(first, text.find_last_not_of(spaces_and_controls) - first + 1);
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (c == '#') break;
        if (c != '\t' && c != '\n' && c != '\r') out += c;
    }
    return out;
}

/// The scheme of a cleaned reference with its colon, or nothing.
std::string_view scheme_of(std::string_view text) {
    if (text.empty() || !is_alpha(text.front())) return {};
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == ':') return text.substr(0, i + 1);
        if (!is_alpha(text[i]) && !is_digit(text[i]) && text[i] != '+' && text[i] != '-' && text[i] != '.') break;
    }
    return {};
}

/// Escapes in normal form: unreserved characters plain, digits in upper case, and everything escaped that may
/// not stand in a URL. A space is %20 in the query too.
std::string normal_escapes(std::string_view text) {
    constexpr std::string_view unsafe = "\"<>\\^`{|}";
    std::string out;
    out.reserve(text.size() + 8);
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const auto byte = static_cast<unsigned char>(c);
        if (const int escaped = escaped_byte(text, i); escaped >= 0) {
            const char plain = static_cast<char>(escaped);
            if (is_unreserved(plain)) out += plain;
            else append_escape(out, static_cast<unsigned char>(escaped));
            i += 2;
        } else if (byte <= ' ' || byte >= 0x7f || unsafe.find(c) != std::string_view::npos) {
            append_escape(out, byte);
        } else {
            out += c;
        }
    }
    return out;
}

/// A backslash before the query is a slash.
void turn_backslashes(std::string& text) {
    for (char& c : text) {
        if (c == '?') return;
        if (c == '\\') c = '/';
    }
}

/// One part, empty when the URL lacks it or curl cannot give it (a host name that is no IDN).
std::string part(CURLU* url, CURLUPart what, unsigned flags = 0) {
    char* text = nullptr;
    if (curl_url_get(url, what, &text, flags) != CURLUE_OK) return {};
    const std::unique_ptr<char, decltype(&curl_free)> owner(text, &curl_free);
    return text;
}

/// libcurl has resolved and parsed; it leaves the host's case alone and the whole in need of assembling.
std::optional<url_text> assemble(CURLU* url) {
    std::string scheme = part(url, CURLUPART_SCHEME);
    for (char& c : scheme) c = lower(c);
    if (scheme != "http" && scheme != "https") return std::nullopt;
    std::string host = part(url, CURLUPART_HOST, CURLU_PUNYCODE);
    if (host.empty()) return std::nullopt;
    for (char& c : host) c = lower(c);

    url_text out = scheme + "://";
    if (const auto user = part(url, CURLUPART_USER); !user.empty()) {
        out += user;
        if (const auto password = part(url, CURLUPART_PASSWORD); !password.empty()) out += ":" + password;
        out += '@';
    }
    out += host;
    if (const auto port = part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT); !port.empty()) out += ":" + port;
    const auto path = part(url, CURLUPART_PATH);
    out += path.empty() ? "/" : path;
    if (const auto query = part(url, CURLUPART_QUERY); !query.empty()) out += "?" + query;
    return out;
}

} // namespace

std::optional<url_text> parse_url(std::string_view text) {
    std::string cleaned = clean(text);
    turn_backslashes(cleaned);
    if (scheme_of(cleaned).empty()) return std::nullopt;
    const handle url(curl_url(), &curl_url_cleanup);
    if (curl_url_set(url.get(), CURLUPART_URL, normal_escapes(cleaned).c_str(), 0) != CURLUE_OK) return std::nullopt;
    return assemble(url.get());
}

std::optional<url_text> parse_url_argument(std::string_view text) {
    const std::string cleaned = clean(text);
    const bool has_scheme = cleaned.find("://") != std::string::npos;
    // "localhost:8080/x" looks like a scheme, so only "://" makes one here.
    return cleaned.empty() ? std::nullopt : parse_url(has_scheme ? cleaned : "http://" + cleaned);
}

std::optional<url_text> resolve_url(std::string_view base, std::string_view reference) {
    std::string cleaned = clean(reference);
    if (cleaned.empty()) return url_text(base);
    turn_backslashes(cleaned);
    if (const auto scheme = scheme_of(cleaned); !scheme.empty()) {
        const bool has_authority = cleaned.compare(scheme.size(), 2, "//") == 0;
        const auto base_scheme = base.substr(0, base.find(':') + 1);
        std::string wanted(scheme);
        for (char& c : wanted) c = lower(c);
        if (wanted != "http:" && wanted != "https:") return std::nullopt;
        if (!has_authority && wanted != base_scheme) return std::nullopt;
        if (has_authority) return parse_url(cleaned);
        cleaned.erase(0, scheme.size()); // "http:x" in an http document is the old spelling of "x".
        if (cleaned.empty()) return url_text(base);
    }
    const handle url(curl_url(), &curl_url_cleanup);
    if (curl_url_set(url.get(), CURLUPART_URL, std::string(base).c_str(), 0) != CURLUE_OK) return std::nullopt;
    // libcurl takes "x:y" for a scheme even where it is none, as in "1:2"; "./" says that it is a path.
    const auto colon = cleaned.find(':');
    if (colon != std::string::npos && cleaned.find_first_of("/?") > colon) cleaned.insert(0, "./");
    if (curl_url_set(url.get(), CURLUPART_URL, normal_escapes(cleaned).c_str(), 0) != CURLUE_OK) return std::nullopt;
    return assemble(url.get());
}

url_parts split_url(std::string_view url) {
    url_parts out;
    const auto scheme = url.find("://");
    if (scheme == std::string_view::npos) return out;
    const auto authority = scheme + 3;
    const auto path = std::min(url.find('/', authority), url.size());
    const auto query = std::min(url.find('?', path), url.size());
    const auto at = url.substr(0, path).rfind('@');
    const auto host = at == std::string_view::npos || at < authority ? authority : at + 1;
    out.scheme = url.substr(0, scheme);
    out.site = url.substr(host, path - host);
    out.path = url.substr(path, query - path);
    out.query = url.substr(query);
    return out;
}

std::string origin_of(std::string_view url) {
    const auto parts = split_url(url);
    return std::string(parts.scheme) + "://" + std::string(parts.site);
}

std::string percent_decode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (const int byte = escaped_byte(text, i); byte >= 0) {
            out += static_cast<char>(byte);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

} // namespace crawl
