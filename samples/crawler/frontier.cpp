// SPDX-License-Identifier: Apache-2.0
#include "frontier.hpp"

#include "url.hpp"

#include <utility>

namespace crawl {
namespace {
constexpr int unreached = std::numeric_limits<int>::max(); // The depth of a URL to which no way is known yet.
} // namespace

void frontier::add_start(std::string_view url) {
    reach(intern(url), none, 0, 0);
}

void frontier::add(std::string_view url, std::string_view referrer, int depth, int redirects) {
    const id from = referrer.empty() ? none : intern(referrer);
    const id which = intern(url);
    auto& node = nodes_[which];
    node.referrer = from;
    node.depth = depth;
    node.redirects = redirects;
    if (node.now == state::queued || node.now == state::running) return;
    if (node.now != state::known) --done_;
    queue(which);
}

void frontier::forget_queued() {
    for (auto& at : hosts_) {
        for (const id which : std::exchange(at.pending, {})) {
            if (nodes_[which].now != state::queued) continue;
            nodes_[which].now = state::known;
            --queued_;
        }
    }
}

void frontier::finish_page(id from, const std::vector<std::string>& links) {
    std::vector<id> targets;
    targets.reserve(links.size());
    for (const auto& link : links) targets.push_back(intern(link));
    nodes_[from].links = std::move(targets);
    complete(from);
    spread(from);
}

void frontier::finish_redirect(id from, std::string_view target) {
    const id to = target.empty() ? none : intern(target);
    nodes_[from].target = to;
    complete(from);
    spread(from);
}

void frontier::finish_rules(id url, robots_rules rules) {
    const auto which = nodes_[url].host;
    auto& at = hosts_[which];
    at.rules = std::move(rules);
    at.rules_are = rules_state::known;
    at.delay = std::max(limits_.delay, at.rules.crawl_delay().value_or(std::chrono::milliseconds(0)));
    at.next_start += at.delay - limits_.delay;
    std::deque<id> still_pending;
    for (const id pending : std::exchange(at.pending, {})) {
        if (nodes_[pending].now != state::queued) continue;
        if (allowed(at, pending)) {
            still_pending.push_back(pending);
        } else {
            --queued_;
            refuse(pending);
        }
    }
    at.pending = std::move(still_pending);
    release(which);
}

void frontier::abandon(job taken) {
    const auto which = nodes_[taken.url].host;
    if (taken.what == task::rules) {
        hosts_[which].rules_are = rules_state::unknown;
    } else {
        nodes_[taken.url].now = state::known;
        --taken_;
        queue(taken.url);
    }
    release(which);
}

void frontier::restore(
    std::string_view url, int depth, const std::vector<std::string>& links, std::string_view target) {
    const id which = intern(url);
    if (nodes_[which].now == state::done || nodes_[which].now == state::refused) return;
    if (nodes_[which].now == state::queued) --queued_; // Its place in the host's queue is skipped later.
    auto& node = nodes_[which];
    node.depth = std::min(node.depth, depth);
    if (node.redirects == unreached) node.redirects = 0;
    node.now = state::done;
    ++done_;
    ++taken_;
    std::vector<id> targets;
    for (const auto& link : links) targets.push_back(intern(link));
    nodes_[which].links = std::move(targets);
    if (!target.empty()) {
        const id to = intern(target);
        nodes_[which].target = to;
    }
    spread(which);
}

std::optional<frontier::job> frontier::take(steady_time now) {
    while (!turns_.empty() && turns_.begin()->first <= now && !full()) {
        const auto which = turns_.begin()->second;
        turns_.erase(turns_.begin());
        auto& at = hosts_[which];
        at.listed = false;
        while (!at.pending.empty() && nodes_[at.pending.front()].now != state::queued) at.pending.pop_front();
        if (at.pending.empty()) continue;

        const id next = at.pending.front();
        const bool ask_rules = limits_.robots && at.rules_are == rules_state::unknown;
        if (ask_rules) {
            at.rules_are = rules_state::asked;
        } else {
            at.pending.pop_front();
            nodes_[next].now = state::running;
            --queued_;
            ++taken_;
        }
        ++at.active;
        ++running_;
        at.next_start = now + at.delay;
        list(which);
        return job{ask_rules ? task::rules : task::page, next};
    }
    return std::nullopt;
}

std::optional<steady_time> frontier::next_start() const {
    if (full() || turns_.empty()) return std::nullopt;
    return turns_.begin()->first;
}

std::vector<frontier::id> frontier::take_refused() {
    return std::exchange(refused_, {});
}

std::string frontier::referrer(id which) const {
    const id from = nodes_[which].referrer;
    return from == none ? std::string() : *nodes_[from].url;
}

std::vector<std::vector<frontier::id>> frontier::sources_of(const std::vector<id>& urls) const {
    std::unordered_map<id, std::size_t> wanted;
    for (std::size_t i = 0; i < urls.size(); ++i) wanted.emplace(urls[i], i);
    std::vector<std::vector<id>> out(urls.size());
    for (id from = 0; from < nodes_.size(); ++from) {
        const auto visit = [&](id to) {
            if (const auto at = wanted.find(to); at != wanted.end()) out[at->second].push_back(from);
        };
        for (const id to : nodes_[from].links) visit(to);
        if (nodes_[from].target != none) visit(nodes_[from].target);
    }
    return out;
}

frontier::id frontier::intern(std::string_view url) {
    const auto [at, fresh] = ids_.try_emplace(std::string(url), static_cast<id>(nodes_.size()));
    if (fresh) {
        const auto [host_at, fresh_host] =
            host_ids_.try_emplace(origin_of(url), static_cast<std::uint32_t>(hosts_.size()));
        if (fresh_host) hosts_.emplace_back().delay = limits_.delay;
        nodes_.push_back(
            {.url = &at->first,
             .referrer = none,
             .depth = unreached,
             .redirects = unreached,
             .host = host_at->second,
             .now = state::known,
             .links = {},
             .target = none});
    }
    return at->second;
}

/// A way to `which` was found. If it is the shortest so far, what lies behind it comes nearer too.
void frontier::reach(id which, id referrer, int depth, int redirects) {
    if (depth > limits_.depth || redirects > limits_.redirects) return;
    auto& node = nodes_[which];
    if (depth > node.depth || (depth == node.depth && redirects >= node.redirects)) return;
    if (node.depth == unreached) node.referrer = referrer;
    node.depth = depth;
    node.redirects = redirects;
    if (node.now == state::known) queue(which);
}

void frontier::spread(id from) {
    if (!limits_.follow) return;
    std::deque<id> changed{from};
    while (!changed.empty()) {
        const id at = changed.front();
        changed.pop_front();
        const auto& node = nodes_[at];
        const auto visit = [&](id to, int depth, int redirects) {
            const int before = nodes_[to].depth;
            reach(to, at, depth, redirects);
            if (nodes_[to].depth < before && nodes_[to].now == state::done) changed.push_back(to);
        };
        if (node.target != none) visit(node.target, node.depth, node.redirects + 1);
        for (const id to : node.links) visit(to, node.depth + 1, 0);
    }
}

void frontier::queue(id which) {
    auto& node = nodes_[which];
    auto& at = hosts_[node.host];
    if (at.rules_are == rules_state::known && !allowed(at, which)) return refuse(which);
    node.now = state::queued;
    ++queued_;
    at.pending.push_back(which);
    list(node.host);
}

void frontier::refuse(id which) {
    nodes_[which].now = state::refused;
    ++done_;
    refused_.push_back(which);
}

/// Puts a host that has something to do where take() finds it.
void frontier::list(std::uint32_t which) {
    auto& at = hosts_[which];
    const int limit = at.rules_are == rules_state::asked ? 0 : limits_.per_host;
    if (at.listed || at.pending.empty() || at.active >= limit) return;
    at.listed = true;
    turns_.emplace(at.next_start, which);
}

void frontier::release(std::uint32_t which) {
    --running_;
    --hosts_[which].active;
    list(which);
}

void frontier::complete(id which) {
    nodes_[which].now = state::done;
    ++done_;
    release(nodes_[which].host);
}

bool frontier::allowed(const host& at, id which) const {
    if (!limits_.robots) return true;
    const auto parts = split_url(*nodes_[which].url);
    return at.rules.allows(std::string(parts.path) + std::string(parts.query));
}

} // namespace crawl
