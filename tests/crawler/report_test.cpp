// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "progress.hpp"
#include "svg.hpp"

#include <catch2/catch.hpp>
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>

#include <memory>

using namespace std::chrono_literals;

namespace {

crawl::record row(const std::string& url, long status, std::uint64_t ms) {
    crawl::record out;
    out.url = url;
    out.status = status;
    out.elapsed_ms = ms;
    out.bytes = 100;
    out.attempts = 1;
    return out;
}

crawl::statistics some_numbers() {
    crawl::statistics out;
    for (std::uint64_t i = 0; i < 50; ++i)
        out.add(row("http://h/page" + std::to_string(i), 200, 10 + i), i * 100, true);
    out.add(row("http://h/gone?<script>alert(1)</script>&\"'", 404, 5), 5000, true);
    out.add(row("http://h/slowest", 200, 4321), 6000, true);
    return out;
}

/// Well-formed XML has every tag closed and every attribute quoted.
bool well_formed(const std::string& xml) {
    const std::unique_ptr<xmlDoc, decltype(&xmlFreeDoc)> document(
        xmlReadMemory(
            xml.data(), static_cast<int>(xml.size()), nullptr, "utf-8", XML_PARSE_NOERROR | XML_PARSE_NOWARNING),
        &xmlFreeDoc);
    return document != nullptr;
}

} // namespace

TEST_CASE("counts_add_up") {
    const auto numbers = some_numbers();
    CHECK(numbers.pages == 52);
    CHECK(numbers.failures == 1);
    CHECK(numbers.bytes == 5200);
    CHECK(numbers.by_status.at(200) == 51);
    CHECK(numbers.per_second.size() == 7);
    CHECK(numbers.per_second[0] == 10);
    std::uint64_t sum = 0;
    for (const auto& bucket : numbers.latencies.buckets()) sum += bucket.count;
    CHECK(sum == 52);
}

TEST_CASE("buckets_and_quantiles") {
    crawl::histogram h;
    CHECK(h.buckets().empty());
    CHECK(h.quantile(0.5) == 0);
    for (std::uint64_t i = 1; i <= 100; ++i) h.add(i);
    CHECK(h.quantile(0) == 1);
    CHECK(h.quantile(0.5) == 50);
    CHECK(h.quantile(0.99) == 99);
    CHECK(h.quantile(1) == 100);
    const auto buckets = h.buckets();
    CHECK(buckets.front().from == 1);
    CHECK(buckets.front().count == 1);
    CHECK(buckets.back().from == 100);
    CHECK(buckets.back().to == 200);
    h.add(0);
    CHECK(h.buckets().front().from == 0);
}

TEST_CASE("the_report_shows_what_was_asked_for") {
    const auto html = crawl::html_report(
        some_numbers(), {.title = "http://h/",
                         .elapsed_ms = 7000,
                         .concurrency = 100,
                         .interrupted = false,
                         .broken = {{"http://h/gone", "404", {"http://h/page1", "http://h/page2"}}}});
    for (const auto* text :
         {"Status codes", "Latency", "Pages per second", "Slowest pages", "Broken links (1)", "http://h/slowest",
          "http://h/page2", "100 fibers", "<svg", "4.3 s"}) {
        INFO(text);
        CHECK(html.find(text) != std::string::npos);
    }
}

TEST_CASE("the_report_is_self_contained_and_escapes_everything") {
    const std::string evil = "http://h/\"><script>alert(1)</script>'&";
    const auto html = crawl::html_report(
        some_numbers(),
        {.title = evil, .elapsed_ms = 1, .concurrency = 1, .interrupted = true, .broken = {{evil, evil, {evil}}}});
    CHECK(html.find("<script") == std::string::npos);
    CHECK(html.find("src=") == std::string::npos);
    CHECK(html.find("<link") == std::string::npos);
    CHECK(html.find("@import") == std::string::npos);
    CHECK(html.find("url(") == std::string::npos);
}

TEST_CASE("an_empty_crawl_has_a_report_too") {
    const auto html = crawl::html_report(crawl::statistics(), {});
    CHECK(html.find("None.") != std::string::npos);
    CHECK(html.find("nan") == std::string::npos);
    CHECK(html.find("inf") == std::string::npos);
}

TEST_CASE("charts_are_well_formed") {
    CHECK(well_formed(crawl::bar_chart({}, "none")));
    CHECK(well_formed(crawl::bar_chart({{"<a>", 1, "\"&'"}, {"b", 123456, ""}}, "<&>")));
    CHECK(well_formed(crawl::rate_chart({}, "none")));
    CHECK(well_formed(crawl::rate_chart({1, 0, 5}, "three")));
    const auto long_run = crawl::rate_chart(std::vector<std::uint64_t>(100'000, 7), "long");
    CHECK(well_formed(long_run));
    CHECK(long_run.size() < 20'000);
    CHECK(
        crawl::html_escape(std::string("a\0b<>&\"'", 8)) == "a\xef\xbf\xbd"
                                                            "b&lt;&gt;&amp;&quot;&#39;");
}

TEST_CASE("numbers_for_people") {
    CHECK(crawl::human_bytes(0) == "0 B");
    CHECK(crawl::human_bytes(999) == "999 B");
    CHECK(crawl::human_bytes(1500) == "1.5 kB");
    CHECK(crawl::human_bytes(123'456'789) == "123 MB");
    CHECK(crawl::human_time(52) == "52 ms");
    CHECK(crawl::human_time(12'340) == "12.3 s");
    CHECK(crawl::human_time(125'000) == "2 min 05 s");
    CHECK(crawl::human_time(3'720'000) == "1 h 02 min");
}

TEST_CASE("the_progress_line_says_how_far_it_is") {
    crawl::progress_numbers now;
    now.done = 412;
    now.queued = 80;
    now.running = 20;
    now.failed = 3;
    now.fetched_now = 400;
    now.elapsed = 4s;
    CHECK(crawl::progress_text(now) == "412 done, 100 queued, 3 failed, 100/s, 0:04 elapsed, ETA 0:01");
    CHECK(crawl::progress_text({}) == "0 done, 0 queued, 0 failed, 0.0/s, 0:00 elapsed");
    now.elapsed = 4000s;
    CHECK(crawl::progress_text(now) == "412 done, 100 queued, 3 failed, 0.1/s, 1:06:40 elapsed, ETA 16:40");
}
