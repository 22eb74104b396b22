// SPDX-License-Identifier: Apache-2.0
#include "launcher/check.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <map>

namespace weft::launcher {

namespace {

const char* words_of(verdict v) {
    switch (v) {
    case verdict::can_be_served: return "can be served";
    case verdict::cannot_be_served: return "cannot be served";
    case verdict::cannot_be_read: return "cannot be read";
    }
    return "";
}

std::string first_line(const check_report& r) {
    std::string line = r.pid == 0 ? r.subject : "process " + r.subject + (r.program.empty() ? "" : " (" + r.program + ")");
    line += ": ";
    line += r.pid != 0 && r.has_weft ? "is served" : words_of(r.verdict);
    if (!r.reason.empty()) line += ": " + r.reason;
    else if (r.pid != 0 && !r.has_weft && r.verdict == verdict::can_be_served) line += ", once started by weft run";
    return line;
}

const char* state_of(const check_report::call& c) { return c.served ? "yes" : c.excuse.empty() ? "NO" : "left"; }

std::string list_of(const std::vector<std::string>& names) {
    constexpr std::size_t most = 3;
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i == 0 ? "" : ", ") + names[i];
    if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
    return text;
}

/// Functions and how often, in the order of their addresses.
std::vector<std::pair<std::string, std::size_t>> functions_of(const std::vector<inline_call>& calls) {
    std::vector<std::pair<std::string, std::size_t>> all;
    for (const inline_call& c : calls) {
        const auto known = std::find_if(all.begin(), all.end(), [&](const auto& f) { return f.first == c.function; });
        if (known != all.end()) ++known->second;
        else all.emplace_back(c.function, 1);
    }
    return all;
}

void print_calls(const check_report& r) {
    if (r.calls.empty()) return;
    std::size_t name = 4;
    for (const auto& c : r.calls) name = std::max(name, c.name.size());
    const int width = static_cast<int>(name);
    std::printf("\n  %-*s  %-8s %-6s %s\n", width, "call", "family", "served", "imported by");
    for (const auto& c : r.calls) {
        std::printf("  %-*s  %-8s %-6s %s", width, c.name.c_str(), c.family.c_str(), state_of(c), list_of(c.importers).c_str());
        if (!c.excuse.empty()) std::printf(" (%s)", c.excuse.c_str());
        std::printf("\n");
    }
}

void print_inline_code(const check_report& r) {
    if (r.inline_code.empty()) return;
    std::printf("\nSystem calls by instruction, past libc:\n");
    for (const auto& object : r.inline_code) {
        constexpr std::size_t most = 6;
        std::vector<std::string> parts;
        for (const auto& [function, count] : functions_of(object.calls))
            parts.push_back((function.empty() ? "(no name)" : function) + (count > 1 ? " x" + std::to_string(count) : ""));
        const std::size_t rest = parts.size() > most ? parts.size() - most : 0;
        parts.resize(parts.size() - rest);
        std::printf("  %s: %zu, in", object.object.c_str(), object.calls.size());
        for (std::size_t i = 0; i < parts.size(); ++i) std::printf("%s %s", i == 0 ? "" : ",", parts[i].c_str());
        if (rest > 0) std::printf(" and %zu more", rest);
        std::printf("\n");
    }
}

} // namespace

void print_report(const check_report& r) {
    std::printf("%s\n", first_line(r).c_str());
    if (!r.kind.empty()) std::printf("  kind       %s%s\n", r.kind.c_str(), r.has_weft && r.pid == 0 ? ", linked with weft" : "");
    if (r.verdict == verdict::can_be_served) {
        const auto served = std::count_if(r.calls.begin(), r.calls.end(), [](const auto& c) { return c.served; });
        const auto left = std::count_if(r.calls.begin(), r.calls.end(), [](const auto& c) { return !c.served && !c.excuse.empty(); });
        std::printf("  libraries  %zu\n", r.libraries.size());
        std::printf("  calls      %zu that may wait: %zd served, %zd not served, %zd left alone\n", r.calls.size(), served,
                    static_cast<std::ptrdiff_t>(r.calls.size()) - served - left, left);
    }
    print_calls(r);
    print_inline_code(r);
    if (!r.notes.empty()) std::printf("\nNotes:\n");
    for (const std::string& n : r.notes) std::printf("  %s\n", n.c_str());
}

void print_report_as_json(const check_report& r) {
    using nlohmann::json;
    json j = {{"subject", r.subject}, {"program", r.program}, {"kind", r.kind},   {"verdict", words_of(r.verdict)},
              {"status", static_cast<int>(r.verdict)}, {"reason", r.reason}, {"has_weft", r.has_weft}, {"notes", r.notes}};
    if (r.pid != 0) j["pid"] = r.pid;
    j["libraries"] = json::array();
    for (const auto& l : r.libraries) j["libraries"].push_back({{"name", l.name}, {"path", l.path}});
    j["calls"] = json::array();
    for (const auto& c : r.calls)
        j["calls"].push_back({{"name", c.name}, {"family", c.family}, {"served", c.served}, {"excuse", c.excuse},
                              {"importers", c.importers}});
    j["inline_system_calls"] = json::array();
    for (const auto& object : r.inline_code) {
        json calls = json::array();
        for (const auto& c : object.calls) {
            json one = {{"address", c.address}, {"function", c.function}};
            if (c.number >= 0) one["number"] = c.number;
            calls.push_back(std::move(one));
        }
        j["inline_system_calls"].push_back({{"object", object.object}, {"calls", std::move(calls)}});
    }
    // Names in files are bytes, and need not be UTF-8.
    std::printf("%s\n", j.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

} // namespace weft::launcher
