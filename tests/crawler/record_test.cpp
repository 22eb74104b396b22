// SPDX-License-Identifier: Apache-2.0
#include "record.hpp"
#include "scope.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace {
crawl::record sample() {
    crawl::record row;
    row.url = "http://h/x";
    row.status = 200;
    row.content_type = "text/html";
    row.bytes = 12;
    row.elapsed_ms = 34;
    row.depth = 2;
    row.referrer = "http://h/";
    row.attempts = 1;
    row.links = {"http://h/a", "http://h/\"b\""};
    return row;
}
} // namespace

TEST_CASE("a_row_has_the_documented_keys_in_order") {
    const auto line = crawl::to_json_line(sample());
    std::vector<std::string> keys;
    const auto parsed = nlohmann::ordered_json::parse(line);
    for (const auto& [key, value] : parsed.items()) keys.push_back(key);
    CHECK(
        keys == std::vector<std::string>{
                    "url", "status", "content_type", "bytes", "elapsed_ms", "depth", "referrer", "attempts", "location",
                    "error", "links"});
    CHECK(line.find('\n') == std::string::npos);
    CHECK(nlohmann::json::parse(line)["error"].is_null());
}

TEST_CASE("a_row_survives_writing_and_reading") {
    auto row = sample();
    row.error = "line\nbreak \"quoted\"";
    row.location = "http://h/y";
    const auto back = crawl::from_json_line(crawl::to_json_line(row));
    REQUIRE(back);
    CHECK(crawl::to_json_line(*back) == crawl::to_json_line(row));
    CHECK(back->links == row.links);
}

TEST_CASE("bytes_that_are_no_utf8_do_not_stop_a_row") {
    auto row = sample();
    row.location = "\xff\xfe";
    CHECK(crawl::from_json_line(crawl::to_json_line(row)));
}

TEST_CASE("a_torn_line_is_no_row") {
    const auto line = crawl::to_json_line(sample());
    for (std::size_t length = 0; length < line.size(); ++length)
        CHECK_FALSE(crawl::from_json_line(line.substr(0, length)));
    CHECK_FALSE(crawl::from_json_line("{}"));
    CHECK_FALSE(crawl::from_json_line("[1]"));
    CHECK_FALSE(crawl::from_json_line(R"({"url":5})"));
}

TEST_CASE("a row with a number that is whole but too large, or not whole, is refused", "[record]") {
    const std::string line = crawl::to_json_line(crawl::record());
    REQUIRE(crawl::from_json_line(line));
    for (const char* number : {"87777777777777777777777777777777774", "-9e99", "1.5", "18446744073709551615"}) {
        std::string changed = line;
        changed.replace(changed.find("\"status\":0"), 10, std::string("\"status\":") + number);
        INFO(changed);
        CHECK_FALSE(crawl::from_json_line(changed));
    }
}

TEST_CASE("what_counts_as_a_failure") {
    auto row = sample();
    CHECK_FALSE(row.failed());
    row.status = 404;
    CHECK(row.failed());
    row.status = 0;
    CHECK(row.failed());
    row.status = 200;
    row.error = "transfer closed";
    CHECK(row.failed());
    row.error = crawl::cut_error(100);
    CHECK_FALSE(row.failed());
    CHECK(row.cut());
    row.status = 302;
    row.error.clear();
    CHECK_FALSE(row.redirected());
    row.location = "http://h/y";
    CHECK(row.redirected());
    row = sample();
    row.attempts = 0;
    row.status = 0;
    CHECK_FALSE(row.failed());
    CHECK(row.refused());
}

TEST_CASE("scope_is_host_include_and_exclude") {
    crawl::scope where;
    CHECK(where.contains("http://anything/"));
    where.stay_on_host_of("http://h/");
    where.stay_on_host_of("http://g:81/");
    CHECK(where.contains("http://h/x"));
    CHECK(where.contains("https://h/x"));
    CHECK(where.contains("http://g:81/x"));
    CHECK_FALSE(where.contains("http://g/x"));
    CHECK_FALSE(where.contains("http://sub.h/x"));
    where.include("/docs/");
    where.include("\\.html$");
    where.exclude("draft");
    CHECK(where.contains("http://h/docs/x"));
    CHECK(where.contains("http://h/x.html"));
    CHECK_FALSE(where.contains("http://h/x.htm"));
    CHECK_FALSE(where.contains("http://h/docs/draft.html"));
    CHECK_THROWS_AS(where.include("("), std::regex_error);
}
