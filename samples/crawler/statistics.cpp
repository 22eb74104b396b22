// SPDX-License-Identifier: Apache-2.0
#include "statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace crawl {
namespace {

/// 0 1 2 5 10 20 50 100 ...
std::uint64_t edge(std::size_t index) {
    if (index == 0) return 0;
    constexpr std::array<std::uint64_t, 3> steps{1, 2, 5};
    std::uint64_t decade = 1;
    for (std::size_t i = 0; i < (index - 1) / 3; ++i) decade *= 10;
    return steps[(index - 1) % 3] * decade;
}

std::size_t bucket_of(std::uint64_t ms) {
    std::size_t index = 0;
    while (edge(index + 1) <= ms) ++index;
    return index;
}

template <class... Args>
std::string format(const char* pattern, Args... args) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), pattern, args...);
    return text.data();
}

} // namespace

std::vector<histogram::bucket> histogram::buckets() const {
    if (values_.empty()) return {};
    const auto [low, high] = std::minmax_element(values_.begin(), values_.end());
    const auto first = bucket_of(*low);
    std::vector<bucket> out;
    for (auto i = first; i <= bucket_of(*high); ++i) out.push_back({edge(i), edge(i + 1), 0});
    for (const auto value : values_) ++out[bucket_of(value) - first].count;
    return out;
}

std::uint64_t histogram::quantile(double share) const {
    if (values_.empty()) return 0;
    auto sorted = values_;
    const auto count = static_cast<double>(sorted.size());
    const auto rank = static_cast<std::size_t>(std::clamp(std::ceil(share * count) - 1, 0.0, count - 1));
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(rank), sorted.end());
    return sorted[rank];
}

void statistics::add(const record& row, std::uint64_t finished_ms, bool keep) {
    count(row, keep, finished_ms);
    if (row.refused()) return;
    const auto second = static_cast<std::size_t>(finished_ms / 1000);
    if (per_second.size() <= second) per_second.resize(second + 1);
    ++per_second[second];
}

void statistics::add_past(const record& row, bool keep) {
    count(row, keep, 0);
    if (!row.refused()) ++past_pages;
}

void statistics::count(const record& row, bool keep, std::uint64_t finished_ms) {
    if (row.refused()) {
        ++refused;
    } else {
        ++pages;
        ++by_status[row.status];
        latencies.add(row.elapsed_ms);
    }
    redirects += row.redirected() ? 1 : 0;
    failures += row.failed() ? 1 : 0;
    bytes += row.bytes;
    requests_ms += row.elapsed_ms;
    if (!keep) return;
    entries.push_back({row, finished_ms});
    entries.back().row.links.clear();
    entries.back().row.links.shrink_to_fit();
}

std::string human_bytes(std::uint64_t bytes) {
    constexpr std::array units{"B", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1000;
        ++unit;
    }
    return unit == 0 || value >= 99.5 ? format("%.0f %s", value, units[unit]) : format("%.1f %s", value, units[unit]);
}

std::string human_time(std::uint64_t ms) {
    const auto seconds = static_cast<double>(ms) / 1000;
    if (ms < 1000) return format("%.0f ms", static_cast<double>(ms));
    if (ms < 100'000) return format("%.1f s", seconds);
    const auto whole = (ms + 500) / 1000;
    if (whole < 3600) return format("%lu min %02lu s", whole / 60, whole % 60);
    return format("%lu h %02lu min", whole / 3600, whole % 3600 / 60);
}

} // namespace crawl
