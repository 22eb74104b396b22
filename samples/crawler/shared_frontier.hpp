// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "frontier.hpp"
#include "redis.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace crawl {

/// The frontier of a crawl that several crawlers share, kept in Redis: which URLs are known, how near each is, which wait, which are
/// claimed and by whom, which are done. Every step is one script, so it happens whole or not at all.
///
/// A crawler claims pages, fetches them, and completes each with what it links to. Its claims are its own while it is heard of
/// (stay, claim) at least once in a lease; then they return to the queue. A page is completed only after its row was written, so a
/// crawler that dies loses no page. Which pages are reached depends neither on the order of the answers nor on who fetched what.
class shared_frontier {
public:
    struct page {
        std::string url;
        std::string referrer;
        int depth;
        int redirects;
    };
    struct claimed {
        bool finished = false; ///< nothing waits and nobody has claimed anything: the crawl is over
        std::uint64_t queued = 0;
        std::vector<page> pages;
    };
    struct outcome {
        std::string url;
        int depth = 0;        ///< for a URL that Redis does not know
        bool refused = false; ///< by robots.txt: it does not count towards the pages of the crawl
        std::string target;   ///< of a redirect that is followed, or empty
        std::vector<std::string> links;
    };

    /// Nothing is sent yet. `patience`: how long a lost Redis is waited for.
    shared_frontier(
        const redis_address& where, frontier_limits limits, std::chrono::milliseconds lease, std::chrono::milliseconds patience);

    /// Adds the start URLs. Throws redis_lost at once when nobody answers there. The others wait for a lost server, and throw
    /// redis_lost when that was in vain, redis_error also when the frontier's data are gone.
    void join(const std::vector<std::string>& start_urls);

    /// At most that many pages that nobody else will get. Each limit of the crawl holds for all crawlers together.
    claimed claim(std::size_t most);

    /// That page is done, and these follow from it. May be said twice, and of pages that were never claimed.
    void complete(const outcome& of);

    /// Says that this crawler lives. False: it was silent for too long, and its claims are no longer its own.
    bool stay();

    /// Gives back what is claimed. Does not wait for a lost server, where the lease does the same.
    void leave() noexcept;

    std::chrono::milliseconds lease() const { return lease_; }

private:
    redis::reply run(const std::string& script, std::vector<std::string> arguments);

    redis redis_;
    frontier_limits limits_;
    std::chrono::milliseconds lease_;
    std::string self_;
    std::uint64_t claims_ = 0;
};

} // namespace crawl
