// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "statistics.hpp"

#include <string>
#include <vector>

namespace crawl {

/// A URL that failed, why, and the pages that link to it.
struct broken_link {
    std::string url;
    std::string reason; ///< "404", "timed out"
    std::vector<std::string> sources;
};

/// What the report shows beside the statistics.
struct report_facts {
    std::string title;            ///< the start URLs
    std::uint64_t elapsed_ms = 0; ///< of this run
    int concurrency = 0;
    bool interrupted = false;
    std::vector<broken_link> broken;
};

/// The report as one HTML document that needs nothing else: no script, no other file, charts as inline SVG. Everything that
/// comes from the crawled site is escaped.
std::string html_report(const statistics& numbers, const report_facts& facts);

/// Writes it, whole or not at all. Throws std::system_error.
void write_report(const std::string& path, const std::string& html);

} // namespace crawl
