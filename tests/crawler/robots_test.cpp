// SPDX-License-Identifier: Apache-2.0
#include "robots.hpp"

#include <catch2/catch.hpp>

using crawl::robots_rules;
using namespace std::chrono_literals;

namespace {
robots_rules rules(std::string_view text, std::string_view agent = "weft-crawler/0.1") {
    return robots_rules::parse(text, agent);
}
} // namespace

TEST_CASE("the_longest_rule_wins") {
    const auto r = rules("User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\n");
    CHECK(r.allows("/"));
    CHECK_FALSE(r.allows("/a"));
    CHECK_FALSE(r.allows("/abc"));
    CHECK(r.allows("/a/b"));
    CHECK_FALSE(r.allows("/a/b/c"));
    CHECK(rules("User-agent: *\nDisallow: /x\nAllow: /x\n").allows("/x"));
}

TEST_CASE("star_and_dollar_are_wildcards") {
    const auto r = rules("User-agent: *\nDisallow: /*.gif$\nDisallow: /a*b*c\nDisallow: *print\n");
    CHECK_FALSE(r.allows("/x/y.gif"));
    CHECK(r.allows("/x/y.gif?q"));
    CHECK(r.allows("/x/y.gifs"));
    CHECK_FALSE(r.allows("/a/xx/b/yy/c/zz"));
    CHECK(r.allows("/a/b"));
    CHECK_FALSE(r.allows("/x?print"));
    CHECK_FALSE(rules("User-agent: *\nDisallow: /$\n").allows("/"));
    CHECK(rules("User-agent: *\nDisallow: /$\n").allows("/x"));
}

TEST_CASE("many_stars_take_no_time") {
    const auto r = rules("User-agent: *\nDisallow: /*a*a*a*a*a*a*a*a*a*a*a*a*b$\n");
    CHECK(r.allows("/" + std::string(5000, 'a')));
}

TEST_CASE("the_own_group_comes_before_the_star_group") {
    const std::string text =
        "User-agent: *\nDisallow: /\n\nUser-agent: Other\nUser-agent: WEFT-crawler\nDisallow: /own\n";
    CHECK(rules(text).allows("/x"));
    CHECK_FALSE(rules(text).allows("/own"));
    CHECK_FALSE(rules(text, "other/2").allows("/own"));
    CHECK_FALSE(rules(text, "third").allows("/x"));
}

TEST_CASE("groups_of_one_name_are_joined") {
    const auto r = rules("User-agent: weft-crawler\nDisallow: /a\n\nUser-agent: x\nDisallow: /c\n\nUser-agent: "
                         "weft-crawler\nDisallow: /b\n");
    CHECK_FALSE(r.allows("/a"));
    CHECK_FALSE(r.allows("/b"));
    CHECK(r.allows("/c"));
}

TEST_CASE("odd_files_are_read_as_well_as_possible") {
    CHECK(rules("").allows("/x"));
    CHECK(rules("User-agent: *\nDisallow:\n").allows("/x"));
    CHECK(rules("Disallow: /x\n").allows("/x"));
    CHECK_FALSE(rules("\xef\xbb\xbfUSER-AGENT : * # all\r\nSitemap: http://h/s\r\nnonsense\r\nDISALLOW : /x # no\r\n")
                    .allows("/x"));
    CHECK_FALSE(rules("User-agent: *\rDisallow: /x").allows("/x"));
    CHECK(rules("<html><body>404</body></html>").allows("/x"));
}

TEST_CASE("escapes_are_compared_in_one_spelling") {
    CHECK_FALSE(rules("User-agent: *\nDisallow: /%7ejoe\n").allows("/~joe/x"));
    CHECK_FALSE(rules("User-agent: *\nDisallow: /a b\n").allows("/a%20b"));
    CHECK_FALSE(rules("User-agent: *\nDisallow: /\xc3\xa4\n").allows("/%C3%A4"));
}

TEST_CASE("crawl_delay_is_seconds") {
    CHECK(rules("User-agent: *\nCrawl-delay: 1.5\n").crawl_delay() == 1500ms);
    CHECK(rules("User-agent: *\nCrawl-delay: 1e9\n").crawl_delay() == 1h);
    CHECK_FALSE(rules("User-agent: *\nCrawl-delay: soon\n").crawl_delay());
    CHECK_FALSE(rules("User-agent: other\nCrawl-delay: 1\n").crawl_delay());
}

TEST_CASE("all_or_nothing") {
    CHECK(robots_rules::allow_all().allows("/x"));
    CHECK_FALSE(robots_rules::disallow_all().allows("/x"));
    CHECK(robots_rules::disallow_all().allows("/robots.txt"));
}
