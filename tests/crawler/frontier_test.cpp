// SPDX-License-Identifier: Apache-2.0
#include "frontier.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <random>

using namespace std::chrono_literals;
using crawl::frontier;
using crawl::frontier_limits;

namespace {

const crawl::steady_time t0{}; // The clock of these tests stands where they put it.

frontier_limits no_robots() {
    frontier_limits out;
    out.robots = false;
    return out;
}

std::string take_url(frontier& f, crawl::steady_time now = t0) {
    const auto job = f.take(now);
    return job ? f.url(job->url) : std::string("(none)");
}

/// A site as a map; crawls it with `width` jobs at a time, finished in an order that `seed` decides.
using site = std::map<std::string, std::vector<std::string>>;
std::vector<std::string> crawl_all(const site& pages, const frontier_limits& limits, std::size_t width, unsigned seed) {
    frontier f(limits);
    f.add_start("http://h/");
    std::mt19937 random(seed);
    std::vector<frontier::job> running;
    std::vector<std::string> fetched;
    while (true) {
        while (running.size() < width) {
            const auto job = f.take(t0 + 1h);
            if (!job) break;
            running.push_back(*job);
        }
        if (running.empty()) break;
        std::swap(running.back(), running[random() % running.size()]);
        const auto job = running.back();
        running.pop_back();
        fetched.push_back(f.url(job.url));
        const auto page = pages.find(f.url(job.url));
        f.finish_page(job.url, page == pages.end() ? std::vector<std::string>{} : page->second);
    }
    CHECK(f.finished());
    std::sort(fetched.begin(), fetched.end());
    return fetched;
}

} // namespace

TEST_CASE("every_url_is_taken_once") {
    frontier f(no_robots());
    f.add_start("http://h/");
    f.add_start("http://h/");
    const auto first = f.take(t0);
    REQUIRE(first);
    CHECK_FALSE(f.take(t0));
    f.finish_page(first->url, {"http://h/a", "http://h/", "http://h/b"});
    CHECK(take_url(f) == "http://h/a");
    CHECK(take_url(f) == "http://h/b");
    CHECK(take_url(f) == "(none)");
    CHECK_FALSE(f.finished());
    CHECK(f.running() == 2);
    CHECK(f.referrer(1) == "http://h/");
    CHECK(f.depth(1) == 1);
}

TEST_CASE("a_redirect_costs_no_depth_and_ends_in_a_loop") {
    auto limits = no_robots();
    limits.depth = 1;
    frontier f(limits);
    f.add_start("http://h/");
    f.finish_redirect(f.take(t0)->url, "http://h/a");
    const auto a = f.take(t0);
    REQUIRE(a);
    CHECK(f.depth(a->url) == 0);
    f.finish_page(a->url, {"http://h/b"});
    const auto b = f.take(t0);
    f.finish_redirect(b->url, "http://h/c");
    const auto c = f.take(t0);
    CHECK(f.depth(c->url) == 1);
    f.finish_redirect(c->url, "http://h/b");
    CHECK(f.finished());
    CHECK(f.done() == 4);
}

TEST_CASE("an_endless_chain_of_redirects_ends") {
    frontier f(no_robots());
    f.add_start("http://h/0");
    int hops = 0;
    while (const auto job = f.take(t0)) f.finish_redirect(job->url, "http://h/" + std::to_string(++hops));
    CHECK(hops == 21);
    CHECK(f.finished());
}

TEST_CASE("what_a_depth_limit_reaches_does_not_depend_on_the_order") {
    // A long way and a short one to /x: whichever is found first, /x's links are within reach of the short one.
    site pages{
        {"http://h/", {"http://h/a", "http://h/s"}},
        {"http://h/a", {"http://h/b"}},
        {"http://h/b", {"http://h/x"}},
        {"http://h/s", {"http://h/x"}},
        {"http://h/x", {"http://h/y"}},
        {"http://h/y", {"http://h/z"}}};
    auto limits = no_robots();
    limits.depth = 3;
    const auto expected = crawl_all(pages, limits, 1, 0);
    CHECK(expected.size() == 6);
    for (unsigned seed = 0; seed < 50; ++seed) CHECK(crawl_all(pages, limits, 1 + seed % 5, seed) == expected);

    std::mt19937 random(7);
    site large;
    for (int i = 0; i < 300; ++i)
        for (int j = 0; j < 2; ++j)
            large["http://h/" + (i ? std::to_string(i) : "")].push_back(
                "http://h/" + std::to_string(1 + random() % 400));
    limits.depth = 6;
    const auto reached = crawl_all(large, limits, 1, 0);
    for (unsigned seed = 1; seed < 20; ++seed) CHECK(crawl_all(large, limits, seed, seed) == reached);
}

TEST_CASE("one_host_has_its_limits_the_others_go_on") {
    auto limits = no_robots();
    limits.per_host = 2;
    frontier f(limits);
    for (const auto* url : {"http://a/1", "http://a/2", "http://a/3", "http://b/1"}) f.add_start(url);
    const auto first = f.take(t0);
    CHECK(f.url(first->url) == "http://a/1");
    CHECK(take_url(f) == "http://b/1");
    CHECK(take_url(f) == "http://a/2");
    CHECK(take_url(f) == "(none)");
    f.finish_page(first->url, {});
    CHECK(take_url(f) == "http://a/3");
}

TEST_CASE("delay_spaces_the_starts") {
    auto limits = no_robots();
    limits.delay = 100ms;
    frontier f(limits);
    for (const auto* url : {"http://a/1", "http://a/2", "http://b/1"}) f.add_start(url);
    CHECK(take_url(f) == "http://a/1");
    CHECK(take_url(f) == "http://b/1");
    CHECK(take_url(f) == "(none)");
    REQUIRE(f.next_start());
    CHECK(*f.next_start() == t0 + 100ms);
    CHECK(take_url(f, t0 + 99ms) == "(none)");
    CHECK(take_url(f, t0 + 100ms) == "http://a/2");
    CHECK_FALSE(f.next_start());
}

TEST_CASE("max_pages_ends_the_crawl") {
    auto limits = no_robots();
    limits.max_pages = 2;
    frontier f(limits);
    for (const auto* url : {"http://a/1", "http://a/2", "http://a/3"}) f.add_start(url);
    const auto one = f.take(t0);
    const auto two = f.take(t0);
    CHECK_FALSE(f.take(t0));
    f.finish_page(one->url, {"http://a/4"});
    CHECK_FALSE(f.finished());
    f.abandon(*two);
    CHECK(take_url(f) == "http://a/3");
}

TEST_CASE("robots_come_first_and_filter") {
    frontier f(frontier_limits{});
    for (const auto* url : {"http://a/1", "http://a/no", "http://b/1"}) f.add_start(url);
    const auto a = f.take(t0);
    const auto b = f.take(t0);
    CHECK(a->what == frontier::task::rules);
    CHECK(b->what == frontier::task::rules);
    CHECK_FALSE(f.take(t0));
    f.finish_rules(a->url, crawl::robots_rules::parse("User-agent: *\nDisallow: /no\nCrawl-delay: 2\n", "x"));
    REQUIRE(f.next_start());
    CHECK(*f.next_start() == t0 + 2s);
    const auto page = f.take(t0 + 2s);
    REQUIRE(page);
    CHECK(page->what == frontier::task::page);
    CHECK(f.url(page->url) == "http://a/1");
    CHECK(f.take_refused().size() == 1);
    f.finish_page(page->url, {"http://a/no?x", "http://a/yes"});
    CHECK(f.take_refused().size() == 1);
    CHECK(take_url(f, t0 + 4s) == "http://a/yes");
    f.finish_rules(b->url, crawl::robots_rules::disallow_all());
    CHECK(f.take_refused().size() == 1);
    CHECK(f.queued() == 0);
}

TEST_CASE("abandoned_jobs_come_again") {
    frontier f(frontier_limits{});
    f.add_start("http://a/1");
    f.abandon(*f.take(t0));
    const auto rules = f.take(t0);
    CHECK(rules->what == frontier::task::rules);
    f.finish_rules(rules->url, crawl::robots_rules::allow_all());
    const auto page = f.take(t0);
    f.abandon(*page);
    CHECK(f.running() == 0);
    CHECK(take_url(f) == "http://a/1");
}

TEST_CASE("a_crawl_goes_on_where_it_was") {
    frontier f(no_robots());
    f.restore("http://h/", 0, {"http://h/a", "http://h/b"}, {});
    f.restore("http://h/b", 1, {}, "http://h/c");
    f.add_start("http://h/");
    CHECK(f.done() == 2);
    CHECK(take_url(f) == "http://h/a");
    CHECK(take_url(f) == "http://h/c");
    CHECK(take_url(f) == "(none)");
    CHECK(f.depth(f.find("http://h/c")) == 1);
}

TEST_CASE("sources_of_a_url_are_the_pages_that_name_it") {
    frontier f(no_robots());
    f.restore("http://h/", 0, {"http://h/a", "http://h/x"}, {});
    f.restore("http://h/a", 1, {"http://h/x"}, {});
    f.restore("http://h/r", 0, {}, "http://h/x");
    const auto sources = f.sources_of({f.find("http://h/x"), f.find("http://h/")});
    REQUIRE(sources.size() == 2);
    CHECK(sources[0].size() == 3);
    CHECK(sources[1].empty());
}

TEST_CASE("a_frontier_that_does_not_follow_takes_only_what_is_added") {
    auto limits = no_robots();
    limits.follow = false;
    frontier f(limits);
    f.add("http://h/a", "http://h/", 3, 1);
    const auto first = f.take(t0);
    REQUIRE(first);
    CHECK(f.url(first->url) == "http://h/a");
    CHECK(f.depth(first->url) == 3);
    CHECK(f.referrer(first->url) == "http://h/");
    f.add("http://h/a", "", 0, 0); // it runs
    CHECK(take_url(f) == "(none)");
    f.finish_page(first->url, {"http://h/b"});
    CHECK(take_url(f) == "(none)");
    CHECK(f.finished());
    CHECK(f.sources_of({f.find("http://h/b")}).at(0) == std::vector<frontier::id>{first->url});

    f.add("http://h/b", "http://h/a", 4, 0);
    f.add("http://h/c", "http://h/a", 4, 0);
    CHECK(f.queued() == 2);
    f.forget_queued();
    CHECK(f.queued() == 0);
    CHECK(take_url(f) == "(none)");
    f.add("http://h/c", "http://h/a", 4, 0);
    CHECK(take_url(f) == "http://h/c");
}
