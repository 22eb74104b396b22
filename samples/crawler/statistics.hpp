// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace crawl {

/// Latencies in buckets of the 1-2-5 series.
class histogram {
public:
    struct bucket {
        std::uint64_t from; ///< ms, inclusive
        std::uint64_t to;   ///< ms, exclusive
        std::uint64_t count;
    };

    void add(std::uint64_t ms) { values_.push_back(ms); }

    /// From the first bucket with a value to the last, empty ones between included.
    std::vector<bucket> buckets() const;

    /// The value that a share (0 to 1) of all is not above; 0 when there is none.
    std::uint64_t quantile(double share) const;

private:
    std::vector<std::uint64_t> values_;
};

/// What a crawl amounts to: counts as it goes, rows for the report.
class statistics {
public:
    /// A row without its links, and when it was finished (ms from the start of this run).
    struct entry {
        record row;
        std::uint64_t finished_ms;
    };

    /// Takes in a row. With `keep`, also stores it (without its links) for the report.
    void add(const record& row, std::uint64_t finished_ms, bool keep);

    /// Takes in a row of the crawl that is resumed: it counts, but not towards the rate.
    void add_past(const record& row, bool keep);

    std::uint64_t pages = 0; ///< URLs fetched, whatever the answer
    std::uint64_t redirects = 0;
    std::uint64_t failures = 0; ///< see record::failed
    std::uint64_t refused = 0;  ///< by robots.txt
    std::uint64_t bytes = 0;
    std::uint64_t requests_ms = 0;           ///< the sum of all rows' times: what one fiber would have waited
    std::uint64_t past_pages = 0;            ///< of `pages`, those of the crawl that was resumed
    std::map<long, std::uint64_t> by_status; ///< 0: no answer
    histogram latencies;
    std::vector<std::uint64_t> per_second; ///< pages finished in each second of this run
    std::vector<entry> entries;

private:
    void count(const record& row, bool keep, std::uint64_t finished_ms);
};

/// "1.5 MB", "312 B"; "1 h 02 min", "12.3 s", "52 ms": for people.
std::string human_bytes(std::uint64_t bytes);
std::string human_time(std::uint64_t ms);

} // namespace crawl
