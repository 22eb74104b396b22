// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fetch.hpp"
#include "frontier.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "record.hpp"
#include "rows.hpp"
#include "save.hpp"
#include "shared_frontier.hpp"
#include "statistics.hpp"

#include <weft/deadline.hpp>
#include <weft/event.hpp>
#include <weft/queue.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace crawl {

/// One crawl: a pool of fibers that take jobs from a queue and fetch them by blocking calls, all on the calling kernel thread.
/// So nothing in here is locked: a fiber only gives way where it waits, and it waits only in the queue, in libcurl and in pauses.
class crawler {
public:
    /// Takes up the rows that `rows` was resumed with, and joins a shared frontier. Both must outlive this.
    crawler(const options& settings, row_files& rows);

    /// Crawls until nothing is left, until stop(), or until a row or a page cannot be written; then rethrows that error, after the
    /// pages in flight are done. `tick` is called ten times a second meanwhile.
    void run(const std::function<void()>& tick);

    /// Starts nothing more; run() returns when what is in flight has ended. Pauses before a retry end at once. May be called from `tick`.
    void stop();

    bool stopped() const { return stopping_; }
    const statistics& numbers() const { return numbers_; }
    progress_numbers progress_now() const;

    /// Every URL that failed, with the pages that link to it.
    std::vector<struct broken_link> broken_links() const;

private:
    void work();
    void do_page(fetcher& with, frontier::job taken);
    void do_rules(fetcher& with, frontier::job taken);
    std::optional<answer>
    get_with_retries(fetcher& with, const std::string& url, const std::string& referrer, int& attempts);
    std::string followed_target(const record& row) const;
    void write(const record& row);
    void write_refused();
    weft::deadline hand_out();
    void pump();
    void pace();
    void claim_pages();
    void keep_claims();
    void complete(const record& row, const std::vector<std::string>& followed);
    void fail(std::exception_ptr why);
    void restore();
    std::string refusal(const std::string& url) const;
    std::chrono::milliseconds elapsed() const;

    const options& settings_;
    row_files& rows_;
    frontier frontier_;
    statistics numbers_;
    std::optional<page_store> store_;
    std::optional<fetch_cache> cache_;
    std::optional<shared_frontier> shared_; // Says what is next, if there is one; frontier_ then orders what was claimed.
    std::unordered_map<std::string, std::string> rules_trouble_; // origin to why its robots.txt cannot be read
    weft::queue<frontier::job> ready_;                           // Jobs that may start, each counted as running
    weft::event turn_;                                           // A host's delay is to be waited for.
    weft::event room_;                                           // More could be claimed.
    weft::event stop_;                                           // Set by stop().
    weft::event over_;                                           // Set when the last worker has ended.
    std::exception_ptr failure_;
    bool stopping_ = false;
    bool shared_over_ = false;        // Nothing is left to claim, for anybody.
    std::uint64_t shared_queued_ = 0; // When last asked.
    std::chrono::steady_clock::time_point start_;
};

} // namespace crawl
