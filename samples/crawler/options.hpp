// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fetch.hpp"
#include "frontier.hpp"
#include "redis_address.hpp"
#include "scope.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace crawl {

/// Everything that the command line says.
struct options {
    std::vector<std::string> urls; ///< start URLs in normal form
    int concurrency = 16;
    frontier_limits limits;
    fetch_options fetch;
    int retries = 2;
    std::chrono::milliseconds back_off{500}; ///< before the first retry; doubles
    scope where;
    std::string output; ///< empty: none, "-": standard output
    std::string save;
    std::string report;
    std::string resume;
    std::optional<redis_address> frontier;       ///< shared with other crawlers
    std::chrono::milliseconds lease{30'000};         ///< a crawler that is silent for so long has lost its claims
    std::chrono::milliseconds frontier_wait{30'000}; ///< for a frontier that is away
    bool quiet = false;
    std::vector<std::string> words; ///< the command line without --resume, to keep for a later --resume
};

/// How the program ends; --help shows these too.
enum exit_status {
    exit_done = 0,          ///< the crawl is complete, broken links or not
    exit_failed = 1,        ///< no start URL answered, or a file could not be written
    exit_usage = 2,         ///< the command line makes no sense
    exit_interrupted = 130, ///< Ctrl-C: --resume goes on
    exit_terminated = 143,  ///< SIGTERM: --resume goes on
};

/// Parses the words of a command line (without the program's name). With --resume, the words that the unfinished crawl was
/// started with come first, so that the present ones win.
///
/// Returns the options, or the status to exit with after help (on standard output) or an error (on standard error) was
/// printed.
std::variant<options, int> parse_options(const std::vector<std::string>& words);

} // namespace crawl
