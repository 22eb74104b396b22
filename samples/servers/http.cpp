// SPDX-License-Identifier: Apache-2.0
#include "http.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <stdexcept>
#include <utility>
#include <vector>

namespace http {

namespace {

constexpr std::size_t longest_line = 8192;
constexpr int most_fields = 100;

std::string lower(std::string_view s) {
    std::string out(s);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::string_view trim(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
}

bool is_token(std::string_view s) {
    constexpr std::string_view others = "!#$%&'*+-.^_`|~";
    return !s.empty() && std::all_of(s.begin(), s.end(), [&](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || others.find(c) != others.npos;
    });
}

std::optional<std::uint64_t> number(std::string_view s) {
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (s.empty() || error != std::errc() || end != s.data() + s.size()) return {};
    return n;
}

std::string line_of(weft::connection& from, std::chrono::seconds patience, int too_long) {
    try {
        auto line = from.read_line(longest_line, patience);
        if (!line) throw refused{400};
        return std::move(*line);
    } catch (const std::length_error&) {
        throw refused{too_long};
    }
}

void parse_first_line(std::string_view line, request& r) {
    const std::size_t a = line.find(' '), b = line.rfind(' ');
    if (a == line.npos || a == b) throw refused{400};
    r.method = line.substr(0, a);
    std::string_view target = line.substr(a + 1, b - a - 1);
    const std::string_view version = line.substr(b + 1);
    if (!is_token(r.method) || !version.starts_with("HTTP/")) throw refused{400};
    if (version != "HTTP/1.1" && version != "HTTP/1.0") throw refused{505};
    r.is_1_1 = version == "HTTP/1.1";
    if (target.starts_with("http://")) {
        const std::size_t slash = target.find('/', 7);
        target = slash == target.npos ? std::string_view("/") : target.substr(slash);
    }
    const auto decoded = decode(target.substr(0, target.find_first_of("?#")));
    if (!decoded || !decoded->starts_with('/')) throw refused{400};
    const auto path = normalise(*decoded);
    if (!path) throw refused{400};
    r.path = *path;
}

} // namespace

std::string_view request::field(std::string_view name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string_view() : found->second;
}

bool request::keeps_alive() const {
    const std::string wish = lower(field("connection"));
    if (wish.find("close") != wish.npos) return false;
    return is_1_1 || wish.find("keep-alive") != wish.npos;
}

bool request::has_body() const { return !field("transfer-encoding").empty() || (!field("content-length").empty() && field("content-length") != "0"); }

std::optional<request> read_request(weft::connection& from, std::chrono::seconds idle, std::chrono::seconds patience) {
    request r;
    std::optional<std::string> first;
    try {
        for (int empty_lines = 0; empty_lines < 4 && (!first || first->empty()); ++empty_lines) { // some send one after a body
            first = from.read_line(longest_line, idle);
            if (!first) return {};
        }
    } catch (const std::length_error&) {
        throw refused{414};
    }
    parse_first_line(*first, r);
    for (int count = 0;; ++count) {
        const std::string line = line_of(from, patience, 431);
        if (line.empty()) break;
        if (count == most_fields) throw refused{431};
        const std::size_t colon = line.find(':');
        if (colon == line.npos || !is_token(std::string_view(line).substr(0, colon))) throw refused{400};
        std::string& value = r.fields[lower(std::string_view(line).substr(0, colon))];
        if (!value.empty()) value += ", ";
        value += trim(std::string_view(line).substr(colon + 1));
    }
    if (r.is_1_1 && r.field("host").empty()) throw refused{400};
    return r;
}

std::optional<range> parse_range(std::string_view field, std::uint64_t size) {
    if (!field.starts_with("bytes=") || field.find(',') != field.npos) return {};
    field.remove_prefix(6);
    const std::size_t dash = field.find('-');
    if (dash == field.npos) return {};
    const std::string_view from = trim(field.substr(0, dash)), to = trim(field.substr(dash + 1));
    const auto first = number(from), last = number(to);
    if (from.empty()) { // the last so many
        if (!last) return {};
        if (*last == 0 || size == 0) throw refused{416};
        return range{size - std::min(*last, size), size - 1};
    }
    if (!first || (!to.empty() && !last) || (last && *last < *first)) return {};
    if (*first >= size) throw refused{416};
    return range{*first, last ? std::min(*last, size - 1) : size - 1};
}

std::optional<std::string> decode(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            unsigned value = 0;
            if (text.size() - i < 3) return {};
            const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
            if (error != std::errc() || end != text.data() + i + 3) return {};
            c = static_cast<char>(value);
            i += 2;
        }
        if (c == 0) return {};
        out += c;
    }
    return out;
}

std::optional<std::string> normalise(std::string_view path) {
    std::vector<std::string_view> parts;
    const bool folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    while (!path.empty()) {
        path.remove_prefix(1); // the slash
        const std::string_view part = path.substr(0, path.find('/'));
        path.remove_prefix(part.size());
        if (part.empty() || part == ".") continue;
        if (part != "..") {
            parts.push_back(part);
        } else {
            if (parts.empty()) return {};
            parts.pop_back();
        }
    }
    std::string out;
    for (const std::string_view part : parts) (out += '/') += part;
    if (folder || out.empty()) out += '/';
    return out;
}

std::string_view reason(int status) {
    switch (status) {
    case 200: return "OK";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 431: return "Request Header Fields Too Large";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
    }
}

std::string date(std::int64_t seconds) {
    const std::time_t t = seconds;
    std::tm parts{};
    ::gmtime_r(&t, &parts);
    char text[64];
    text[std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)] = 0;
    return text;
}

std::string_view type_of(std::string_view path) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 14> known{{{".html", "text/html; charset=utf-8"},
                                                                                   {".htm", "text/html; charset=utf-8"},
                                                                                   {".txt", "text/plain; charset=utf-8"},
                                                                                   {".md", "text/plain; charset=utf-8"},
                                                                                   {".css", "text/css"},
                                                                                   {".js", "text/javascript"},
                                                                                   {".json", "application/json"},
                                                                                   {".xml", "application/xml"},
                                                                                   {".svg", "image/svg+xml"},
                                                                                   {".png", "image/png"},
                                                                                   {".jpg", "image/jpeg"},
                                                                                   {".gif", "image/gif"},
                                                                                   {".pdf", "application/pdf"},
                                                                                   {".wasm", "application/wasm"}}};
    for (const auto& [end, type] : known)
        if (path.ends_with(end)) return type;
    return "application/octet-stream";
}

} // namespace http
