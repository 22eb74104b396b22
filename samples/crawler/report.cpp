// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "svg.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace crawl {
namespace {

constexpr std::size_t slowest_shown = 20;
constexpr std::size_t broken_shown = 1000;
constexpr std::size_t sources_shown = 20;

constexpr std::string_view style = R"(
body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}h1,td,li{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap}ul{margin:0;padding-left:1.1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.8rem;margin:1.2rem 0}
.tiles div{background:#f3f5f7;border-radius:.5rem;padding:.7rem .9rem}.tiles b{display:block;font-size:1.3rem}
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#555}
rect{fill:#3572b0}.area{fill:#3572b0;opacity:.75}.axis{stroke:#888}.grid{stroke:#e4e4e4}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181a1b}.tiles div{background:#26292b}
td,th{border-color:#3a3d3f}.grid{stroke:#333}svg text{fill:#aaa}a{color:#8ab4f8}}
)";

std::string tile(std::string_view name, const std::string& value) {
    return "<div>" + html_escape(name) + "<b>" + html_escape(value) + "</b></div>";
}

/// A link, safe because a URL in normal form begins with http.
std::string link_to(const std::string& url) {
    const auto text = html_escape(url);
    return "<a href=\"" + text + "\" rel=\"noreferrer\">" + text + "</a>";
}

std::string status_name(long status) {
    return status == 0 ? "no answer" : std::to_string(status);
}

std::string rate(std::uint64_t pages, std::uint64_t ms) {
    const double per_second = ms == 0 ? 0 : static_cast<double>(pages) * 1000 / static_cast<double>(ms);
    return std::to_string(static_cast<std::uint64_t>(per_second + 0.5)) + " / s";
}

std::string totals(const statistics& numbers, const report_facts& facts) {
    std::string out = "<div class=\"tiles\">";
    out += tile("pages", std::to_string(numbers.pages));
    out += tile("redirects", std::to_string(numbers.redirects));
    out += tile("failures", std::to_string(numbers.failures));
    out += tile("refused by robots.txt", std::to_string(numbers.refused));
    out += tile("received", human_bytes(numbers.bytes));
    out += tile("time", human_time(facts.elapsed_ms));
    out += tile("rate", rate(numbers.pages - numbers.past_pages, facts.elapsed_ms));
    out += tile("one fiber would have needed", human_time(numbers.requests_ms));
    return out + "</div>";
}

std::string status_table(const statistics& numbers) {
    std::vector<bar> bars;
    for (const auto& [status, count] : numbers.by_status)
        bars.push_back({status_name(status), count, status_name(status) + ": " + std::to_string(count)});
    return "<h2>Status codes</h2>" + bar_chart(bars, "pages by status code");
}

std::string latency_chart(const statistics& numbers) {
    std::vector<bar> bars;
    for (const auto& one : numbers.latencies.buckets()) {
        const auto range = std::to_string(one.from) + " to " + std::to_string(one.to) + " ms";
        bars.push_back({"< " + human_time(one.to), one.count, range + ": " + std::to_string(one.count)});
    }
    std::string out = "<h2>Latency</h2>" + bar_chart(bars, "pages by the time of their answer") + "<p>";
    for (const auto& [name, share] : {std::pair{"median", 0.5}, std::pair{"90 %", 0.9}, std::pair{"99 %", 0.99}})
        out += std::string(name) + ": " + human_time(numbers.latencies.quantile(share)) + " &emsp; ";
    return out + "slowest: " + human_time(numbers.latencies.quantile(1)) + "</p>";
}

std::string slowest_table(const statistics& numbers) {
    std::vector<const record*> rows;
    for (const auto& entry : numbers.entries)
        if (!entry.row.refused()) rows.push_back(&entry.row);
    const auto shown = std::min(slowest_shown, rows.size());
    std::partial_sort(
        rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(shown), rows.end(),
        [](const record* a, const record* b) { return a->elapsed_ms > b->elapsed_ms; });
    std::string out =
        "<h2>Slowest pages</h2><table><tr><th class=n>time<th class=n>status<th class=n>size<th>page</tr>";
    for (std::size_t i = 0; i < shown; ++i) {
        const auto& row = *rows[i];
        out += "<tr><td class=n>" + human_time(row.elapsed_ms) + "<td class=n>" + html_escape(status_name(row.status)) +
               "<td class=n>" + human_bytes(row.bytes) + "<td>" + link_to(row.url) + "</tr>\n";
    }
    return out + "</table>";
}

std::string source_list(const std::vector<std::string>& sources) {
    if (sources.empty()) return "(a start URL)";
    std::string out = "<ul>";
    for (std::size_t i = 0; i < std::min(sources_shown, sources.size()); ++i)
        out += "<li>" + link_to(sources[i]) + "</li>";
    if (sources.size() > sources_shown)
        out += "<li>and " + std::to_string(sources.size() - sources_shown) + " more</li>";
    return out + "</ul>";
}

std::string broken_table(const report_facts& facts) {
    if (facts.broken.empty()) return "<h2>Broken links</h2><p>None.</p>";
    std::string out = "<h2>Broken links (" + std::to_string(facts.broken.size()) +
                      ")</h2><table><tr><th>link<th>why<th>on these pages</tr>";
    for (std::size_t i = 0; i < std::min(broken_shown, facts.broken.size()); ++i) {
        const auto& one = facts.broken[i];
        out += "<tr><td>" + link_to(one.url) + "<td>" + html_escape(one.reason) + "<td>" + source_list(one.sources) +
               "</tr>\n";
    }
    out += "</table>";
    if (facts.broken.size() > broken_shown)
        out += "<p>and " + std::to_string(facts.broken.size() - broken_shown) + " more: see the rows of --output.</p>";
    return out;
}

} // namespace

std::string html_report(const statistics& numbers, const report_facts& facts) {
    std::string out = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width\"><title>Crawl of ";
    out += html_escape(facts.title) + "</title><style>" + std::string(style) + "</style></head><body>\n";
    out += "<h1>Crawl of " + html_escape(facts.title) + "</h1>\n";
    out += "<p>" + std::to_string(facts.concurrency) + " fibers.";
    if (facts.interrupted) out += " The crawl was interrupted; it can be resumed.";
    if (numbers.past_pages)
        out +=
            " " + std::to_string(numbers.past_pages) + " pages are from an earlier run; time and rate are this run's.";
    out += "</p>\n" + totals(numbers, facts) + "\n" + status_table(numbers) + "\n" + latency_chart(numbers) + "\n";
    out += "<h2>Pages per second</h2>" + rate_chart(numbers.per_second, "pages finished per second over time") + "\n";
    out += slowest_table(numbers) + "\n" + broken_table(facts);
    return out + "\n</body></html>\n";
}

void write_report(const std::string& path, const std::string& html) {
    const std::string unfinished = path + "~part";
    std::ofstream out(unfinished, std::ios::binary | std::ios::trunc);
    out << html;
    out.close();
    if (!out) throw std::system_error(errno, std::generic_category(), "cannot write " + path);
    std::filesystem::rename(unfinished, path);
}

} // namespace crawl
