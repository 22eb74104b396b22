// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace crawl {

/// What the progress line says.
struct progress_numbers {
    std::uint64_t done = 0;
    std::uint64_t queued = 0; ///< still to be fetched, as far as is known
    std::uint64_t running = 0;
    std::uint64_t failed = 0;
    std::uint64_t fetched_now = 0; ///< pages of this run: what the rate is made of
    std::chrono::milliseconds elapsed{0};
};

/// "412 done, 88 queued, 3 failed, 102/s, 0:04 elapsed, ETA 0:01"; no ETA while there is no rate.
std::string progress_text(const progress_numbers& now);

/// Shows it on the standard error: one line that is redrawn five times a second on a terminal, a line every ten seconds
/// elsewhere, nothing when quiet.
class progress {
public:
    explicit progress(bool quiet);

    /// Call it often; it draws when it is time to.
    void update(const progress_numbers& now);

    /// Takes the line off the terminal, so that other text may follow.
    void clear();

private:
    bool quiet_;
    bool terminal_;
    bool drawn_ = false;
    std::chrono::milliseconds next_;
};

} // namespace crawl
