// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "robots.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace crawl {

using steady_time = std::chrono::steady_clock::time_point;

/// What bounds the crawl and how fast each host is asked.
struct frontier_limits {
    int depth = std::numeric_limits<int>::max();                         ///< links followed from a start URL
    std::uint64_t max_pages = std::numeric_limits<std::uint64_t>::max(); ///< URLs taken in all
    int per_host = std::numeric_limits<int>::max();                      ///< requests at the same time to one origin
    std::chrono::milliseconds delay{0}; ///< between the starts of two requests to one origin
    int redirects = 20;                 ///< redirects followed one after the other
    bool robots = true;                 ///< ask for each origin's rules first
    bool follow = true;                 ///< what a page links to is queued; false: only what add() says
};

/// Every URL the crawl knows, and which of them may be fetched next. It is an ordinary single-threaded object that
/// neither waits nor reads a clock: the caller passes the time.
///
/// An origin (scheme, host, port) has a queue of its own; origins take turns. Which URLs are reached does not depend on the
/// order of the answers: when a page turns out to be nearer than first thought, what it links to comes nearer too.
class frontier {
public:
    using id = std::uint32_t;
    static constexpr id none = std::numeric_limits<id>::max();

    enum class task {
        page,  ///< fetch this URL; then finish_page
        rules, ///< fetch the robots.txt of this URL's origin; then finish_rules
    };
    struct job {
        task what;
        id url;
    };

    explicit frontier(frontier_limits limits) : limits_(limits) {}

    /// Adds a start URL (in normal form).
    void add_start(std::string_view url);

    /// Adds a URL (in normal form) on somebody else's word. One that waits or runs already stays as it is.
    void add(std::string_view url, std::string_view referrer, int depth, int redirects);

    /// What waits for its turn is forgotten; add() may name it again.
    void forget_queued();

    /// The page `from` was fetched and links to these URLs (each once, all inside the crawl's scope). Its turn ends.
    void finish_page(id from, const std::vector<std::string>& links);

    /// The URL `from` was fetched and redirects to `target` (or to nothing that is followed: empty). Its turn ends.
    void finish_redirect(id from, std::string_view target);

    /// The turn of a rules job ends.
    void finish_rules(id url, robots_rules rules);

    /// The turn of a job that was taken ends without a result: it may be taken again, should there be a resume.
    void abandon(job taken);

    /// What an earlier crawl has already fetched; links and target as above. Start URLs have depth 0.
    void restore(std::string_view url, int depth, const std::vector<std::string>& links, std::string_view target);

    /// The next job that may start now, or nothing. Counts as running until it is finished or abandoned.
    std::optional<job> take(steady_time now);

    /// When take() may succeed next without anything being finished; nothing: only after something finished.
    std::optional<steady_time> next_start() const;

    /// URLs that robots.txt refused since the last call. They count as done.
    std::vector<id> take_refused();

    const std::string& url(id which) const { return *nodes_[which].url; }
    int depth(id which) const { return nodes_[which].depth; }
    std::string referrer(id which) const;

    /// For each of these URLs the pages fetched that link or redirect to it, in the order of their discovery.
    std::vector<std::vector<id>> sources_of(const std::vector<id>& urls) const;

    /// The id of a URL that is known.
    id find(const std::string& url) const { return ids_.at(url); }

    std::size_t running() const { return running_; } ///< jobs taken and not finished
    std::size_t queued() const { return queued_; }   ///< URLs that wait for their turn
    std::size_t done() const { return done_; }
    bool full() const { return taken_ >= limits_.max_pages; }
    bool finished() const { return running_ == 0 && (queued_ == 0 || full()); }

private:
    enum class state {
        known,   // seen, but out of reach: too deep, or behind too many redirects
        queued,  // waits for its turn
        running, // taken, not finished
        done,    // finished, in this crawl or the one that it resumes
        refused, // by robots.txt
    };

    struct url_node {
        const std::string* url; // The key in ids_, which does not move.
        id referrer;
        int depth;
        int redirects; // On the way to here, one after the other.
        std::uint32_t host;
        state now = state::known;
        std::vector<id> links; // One click away; valid when done.
        id target = none;      // No click away; valid when done.
    };
    enum class rules_state { unknown, asked, known };
    struct host {
        std::deque<id> pending;
        robots_rules rules;
        rules_state rules_are = rules_state::unknown;
        std::chrono::milliseconds delay{0};
        steady_time next_start{};
        int active = 0;
        bool listed = false; // It is in turns_.
    };

    id intern(std::string_view url);
    void reach(id which, id referrer, int depth, int redirects);
    void spread(id from);
    void queue(id which);
    void refuse(id which);
    void list(std::uint32_t which);
    void release(std::uint32_t which);
    void complete(id which);
    bool allowed(const host& at, id which) const;

    frontier_limits limits_;
    std::unordered_map<std::string, id> ids_;
    std::vector<url_node> nodes_;
    std::unordered_map<std::string, std::uint32_t> host_ids_;
    std::deque<host> hosts_;
    std::multimap<steady_time, std::uint32_t> turns_; // Hosts with something to do, by when they may start it.
    std::vector<id> refused_;
    std::size_t running_ = 0;
    std::size_t queued_ = 0;
    std::size_t done_ = 0;
    std::uint64_t taken_ = 0;
};

} // namespace crawl
