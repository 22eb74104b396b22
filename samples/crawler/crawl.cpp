// SPDX-License-Identifier: Apache-2.0
#include "crawl.hpp"

#include "links.hpp"
#include "report.hpp"
#include "url.hpp"

#include <weft/fiber.hpp>
#include <weft/pool.hpp>

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace crawl {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds longest_pause = 60s;
constexpr int rules_redirects = 5; // RFC 9309
constexpr milliseconds first_claim_pause = 10ms; // While others fetch what may lead to more.
constexpr milliseconds last_claim_pause = 250ms;

/// Twice as long before each further attempt, and as long as the server asks for.
milliseconds pause_before_retry(milliseconds first, int attempts, milliseconds asked) {
    const auto doubled = first * (std::int64_t{1} << std::min(attempts - 1, 10));
    return std::min(std::max(doubled, asked), longest_pause);
}

/// A shared frontier holds to these itself, for all crawlers together.
frontier_limits own_limits(const options& settings) {
    auto out = settings.limits;
    if (!settings.frontier) return out;
    out.follow = false;
    out.max_pages = std::numeric_limits<std::uint64_t>::max();
    return out;
}

} // namespace

crawler::crawler(const options& settings, row_files& rows)
    : settings_(settings), rows_(rows), frontier_(own_limits(settings)) {
    if (!settings.save.empty()) store_.emplace(settings.save);
    cache_.emplace();
    if (settings.frontier) {
        shared_.emplace(*settings.frontier, settings.limits, settings.lease, settings.frontier_wait);
        shared_->join(settings.urls);
    }
    restore();
    if (shared_) return;
    for (const auto& url : settings.urls) frontier_.add_start(url);
}

void crawler::restore() {
    for (const auto& row : rows_.past()) {
        std::vector<std::string> links;
        std::copy_if(row.links.begin(), row.links.end(), std::back_inserter(links), [&](const std::string& link) {
            return settings_.where.contains(link);
        });
        frontier_.restore(row.url, row.depth, links, followed_target(row));
        complete(row, links);
        numbers_.add_past(row, !settings_.report.empty());
        if (store_ && row.status / 100 == 2) store_->remember(row.url);
    }
}

void crawler::run(const std::function<void()>& tick) {
    start_ = std::chrono::steady_clock::now();
    const auto clock = weft::spawn({.name = "clock"}, [&] {
        while (!over_.wait(100ms)) tick();
    });
    const auto pacer = weft::spawn({.name = "pacer"}, [&] { pace(); });
    std::vector<weft::fiber<void>> sharing;
    if (shared_) {
        sharing.push_back(weft::spawn({.name = "claimer"}, [&] { claim_pages(); }));
        sharing.push_back(weft::spawn({.name = "heartbeat"}, [&] { keep_claims(); }));
    }
    {
        weft::pool workers(static_cast<std::size_t>(settings_.concurrency));
        for (int i = 0; i < settings_.concurrency; ++i) workers.spawn([&] { work(); });
        pump();
        workers.join();
    }
    over_.set();
    turn_.set();
    room_.set();
    pacer.join();
    clock.join();
    for (const auto& fiber : sharing) fiber.join();
    if (shared_) shared_->leave();
    tick();
    if (failure_) std::rethrow_exception(failure_);
}

void crawler::stop() {
    if (std::exchange(stopping_, true)) return;
    stop_.set();
    room_.set();
    while (const auto unstarted = ready_.try_get()) frontier_.abandon(*unstarted);
    pump();
}

/// What each of the fibers does: one connection, one page after the other.
void crawler::work() {
    try {
        fetcher with(settings_.fetch, *cache_);
        for (const auto& job : ready_) {
            if (job.what == frontier::task::rules) do_rules(with, job);
            else do_page(with, job);
            pump();
        }
    } catch (const std::exception&) {
        fail(std::current_exception());
    }
}

void crawler::do_page(fetcher& with, frontier::job taken) {
    record row;
    row.url = frontier_.url(taken.url);
    row.referrer = frontier_.referrer(taken.url);
    auto got = get_with_retries(with, row.url, row.referrer, row.attempts);
    if (!got) return frontier_.abandon(taken);

    const auto type = parse_content_type(got->type_header);
    row.status = got->status;
    row.content_type = type.type;
    row.bytes = got->body.size();
    row.elapsed_ms = static_cast<std::uint64_t>(got->elapsed.count());
    row.depth = frontier_.depth(taken.url);
    row.error = got->cut ? cut_error(settings_.fetch.max_body) : got->error;
    if (!got->location.empty()) row.location = resolve_url(row.url, got->location).value_or(got->location);

    const bool good = row.status / 100 == 2 && !row.failed();
    if (good && is_html(type.type, got->body))
        row.links = extract_links(got->body, row.url, type.charset, {.obey_nofollow = settings_.limits.robots});
    if (good && store_) store_->save(row.url, got->body);
    write(row);

    std::erase_if(row.links, [&](const std::string& link) { return !settings_.where.contains(link); });
    complete(row, row.links);
    if (row.redirected()) return frontier_.finish_redirect(taken.url, followed_target(row));
    frontier_.finish_page(taken.url, row.links);
}

/// Tells the other crawlers. Only after the row was written: should this one die in between, the page is fetched again.
void crawler::complete(const record& row, const std::vector<std::string>& followed) {
    if (!shared_) return;
    shared_->complete(
        {.url = row.url, .depth = row.depth, .refused = row.refused(), .target = followed_target(row), .links = followed});
}

/// Where a redirect leads, if the crawl follows it; or nothing.
std::string crawler::followed_target(const record& row) const {
    const bool followed = row.redirected() && parse_url(row.location) && settings_.where.contains(row.location);
    return followed ? row.location : std::string();
}

void crawler::do_rules(fetcher& with, frontier::job taken) {
    const auto origin = origin_of(frontier_.url(taken.url));
    std::string url = origin + "/robots.txt";
    for (int hop = 0;; ++hop) {
        int attempts = 0;
        const auto got = get_with_retries(with, url, {}, attempts);
        if (!got) return frontier_.abandon(taken);
        if (got->status / 100 == 3 && hop < rules_redirects) {
            if (auto next = resolve_url(url, got->location); next && !got->location.empty()) {
                url = *std::move(next);
                continue;
            }
        }
        if (got->status / 100 == 2 && got->error.empty())
            return frontier_.finish_rules(taken.url, robots_rules::parse(got->body, settings_.fetch.user_agent));
        // Where there is no server at all, the pages themselves say so better.
        if (got->unreachable || (got->status >= 300 && got->status < 500))
            return frontier_.finish_rules(taken.url, robots_rules::allow_all());
        rules_trouble_[origin] = got->error.empty() ? std::to_string(got->status) : got->error;
        return frontier_.finish_rules(taken.url, robots_rules::disallow_all());
    }
}

/// Nothing when stop() came before an answer that counts.
std::optional<answer>
crawler::get_with_retries(fetcher& with, const std::string& url, const std::string& referrer, int& attempts) {
    while (true) {
        auto got = with.get(url, referrer);
        ++attempts;
        if (!got.worth_a_retry || attempts > settings_.retries) return got;
        if (stop_.wait(pause_before_retry(settings_.back_off, attempts, got.retry_after))) return std::nullopt;
    }
}

void crawler::write(const record& row) {
    rows_.write(row);
    numbers_.add(row, static_cast<std::uint64_t>(elapsed().count()), !settings_.report.empty());
}

void crawler::write_refused() {
    for (const auto which : frontier_.take_refused()) {
        record row;
        row.url = frontier_.url(which);
        row.referrer = frontier_.referrer(which);
        row.depth = frontier_.depth(which);
        row.error = refusal(row.url);
        write(row);
        complete(row, {});
    }
}

std::string crawler::refusal(const std::string& url) const {
    const auto trouble = rules_trouble_.find(origin_of(url));
    const std::string text(refused_error);
    return trouble == rules_trouble_.end() ? text : text + ", which cannot be read: " + trouble->second;
}

/// Hands out what may start now, as far as there are fibers for it, and ends the crawl when nothing is left. Returns when it
/// is worth trying again though no page was finished by then.
weft::deadline crawler::hand_out() {
    const auto free = [&] { return frontier_.running() < static_cast<std::size_t>(settings_.concurrency); };
    if (!stopping_) {
        write_refused();
        while (free()) {
            const auto job = frontier_.take(std::chrono::steady_clock::now());
            if (!job) break;
            ready_.put(*job);
        }
    }
    const bool finished = frontier_.finished() && (!shared_ || shared_over_);
    if (stopping_ ? frontier_.running() == 0 : finished) ready_.shutdown();
    const auto next = frontier_.next_start();
    return next && free() && !stopping_ ? weft::deadline(*next) : weft::deadline();
}

/// After each page: hands out what that made possible, and tells pace() where a delay is to be waited for.
void crawler::pump() {
    if (!hand_out().is_never()) turn_.set();
    room_.set();
}

/// Hands out what a host's delay holds back, in time.
void crawler::pace() {
    while (!over_.is_set()) {
        const auto next = hand_out();
        turn_.wait(next);
        turn_.clear();
    }
}

/// Takes pages from the shared frontier, as many as there are idle fibers for, until nothing is left for anybody.
void crawler::claim_pages() {
    try {
        auto pause = first_claim_pause;
        while (!stopping_) {
            room_.clear();
            const auto busy = frontier_.running() + frontier_.queued();
            const auto most = static_cast<std::size_t>(settings_.concurrency);
            if (busy >= most) {
                room_.wait();
                continue;
            }
            const auto got = shared_->claim(most - busy);
            if (stopping_) break;
            for (const auto& page : got.pages) frontier_.add(page.url, page.referrer, page.depth, page.redirects);
            shared_queued_ = got.queued;
            shared_over_ = got.finished;
            if (!got.pages.empty() || got.finished) pump();
            if (got.finished) return;
            pause = got.pages.empty() ? std::min(pause * 2, last_claim_pause) : first_claim_pause;
            if (got.pages.empty()) room_.wait(pause);
        }
    } catch (const std::exception&) {
        fail(std::current_exception());
    }
}

/// Lets the others know that this crawler lives. One that was silent for too long (stopped, or cut off from Redis) has lost its
/// claims: others fetch them.
void crawler::keep_claims() {
    try {
        while (!over_.wait(shared_->lease() / 3))
            if (!shared_->stay()) frontier_.forget_queued();
    } catch (const std::exception&) {
        fail(std::current_exception());
    }
}

void crawler::fail(std::exception_ptr why) {
    if (!failure_) failure_ = std::move(why);
    stopping_ = true;
    stop_.set();
    room_.set();
    ready_.shutdown(true);
}

std::chrono::milliseconds crawler::elapsed() const {
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start_);
}

progress_numbers crawler::progress_now() const {
    progress_numbers out;
    out.done = numbers_.pages + numbers_.refused;
    out.queued = shared_ ? shared_queued_ : frontier_.full() ? 0 : frontier_.queued();
    out.running = frontier_.running();
    out.failed = numbers_.failures;
    out.fetched_now = numbers_.pages - numbers_.past_pages;
    out.elapsed = elapsed();
    return out;
}

std::vector<broken_link> crawler::broken_links() const {
    std::vector<broken_link> out;
    std::vector<frontier::id> ids;
    for (const auto& entry : numbers_.entries) {
        if (!entry.row.failed()) continue;
        const auto& row = entry.row;
        out.push_back({row.url, row.error.empty() ? std::to_string(row.status) : row.error, {}});
        ids.push_back(frontier_.find(row.url));
    }
    const auto sources = frontier_.sources_of(ids);
    for (std::size_t i = 0; i < out.size(); ++i)
        for (const auto source : sources[i]) out[i].sources.push_back(frontier_.url(source));
    return out;
}

} // namespace crawl
