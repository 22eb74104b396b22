// SPDX-License-Identifier: Apache-2.0
#include "record.hpp"

#include <nlohmann/json.hpp>

#include <utility>

namespace crawl {
namespace {

constexpr std::string_view cut_prefix = "body cut at ";

nlohmann::ordered_json text_or_null(const std::string& text) {
    return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

std::string text_of(const nlohmann::json& row, const char* key) {
    const auto& value = row.at(key);
    return value.is_null() ? std::string() : value.get<std::string>();
}

/// A whole number that fits; the library's own conversion would cut it, or overflow.
template <class T>
T number_of(const nlohmann::json& row, const char* key) {
    const auto& value = row.at(key);
    if (value.is_number_unsigned()) {
        if (const auto n = value.get<std::uint64_t>(); std::in_range<T>(n)) return static_cast<T>(n);
    } else if (value.is_number_integer()) {
        if (const auto n = value.get<std::int64_t>(); std::in_range<T>(n)) return static_cast<T>(n);
    }
    throw nlohmann::json::out_of_range::create(406, std::string(key) + " is no number that fits", &row);
}

} // namespace

bool record::cut() const {
    return error.starts_with(cut_prefix);
}

bool record::failed() const {
    return !refused() && (status == 0 || status >= 400 || (!error.empty() && !cut()));
}

std::string cut_error(std::uint64_t limit) {
    return std::string(cut_prefix) + std::to_string(limit) + " bytes";
}

std::string to_json_line(const record& row) {
    nlohmann::ordered_json out;
    out["url"] = row.url;
    out["status"] = row.status;
    out["content_type"] = text_or_null(row.content_type);
    out["bytes"] = row.bytes;
    out["elapsed_ms"] = row.elapsed_ms;
    out["depth"] = row.depth;
    out["referrer"] = text_or_null(row.referrer);
    out["attempts"] = row.attempts;
    out["location"] = text_or_null(row.location);
    out["error"] = text_or_null(row.error);
    out["links"] = row.links;
    return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::optional<record> from_json_line(std::string_view line) {
    try {
        const auto row = nlohmann::json::parse(line);
        record out;
        out.url = row.at("url").get<std::string>();
        out.status = number_of<long>(row, "status");
        out.content_type = text_of(row, "content_type");
        out.bytes = number_of<std::uint64_t>(row, "bytes");
        out.elapsed_ms = number_of<std::uint64_t>(row, "elapsed_ms");
        out.depth = number_of<int>(row, "depth");
        out.referrer = text_of(row, "referrer");
        out.attempts = number_of<int>(row, "attempts");
        out.location = text_of(row, "location");
        out.error = text_of(row, "error");
        out.links = row.at("links").get<std::vector<std::string>>();
        return out;
    } catch (const nlohmann::json::exception&) {
        return std::nullopt;
    }
}

} // namespace crawl
