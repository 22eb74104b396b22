// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "journal.hpp"
#include "rows.hpp"

#include <catch2/catch.hpp>

#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <sstream>

using namespace std::chrono_literals;

namespace {

/// Keeps what goes to a stream while it lives.
class captured {
public:
    explicit captured(std::ostream& stream) : stream_(stream), before_(stream.rdbuf(text_.rdbuf())) {}
    ~captured() { stream_.rdbuf(before_); }
    std::string text() const { return text_.str(); }

private:
    std::ostringstream text_;
    std::ostream& stream_;
    std::streambuf* before_;
};

crawl::options parse(const std::vector<std::string>& words) {
    auto result = crawl::parse_options(words);
    REQUIRE(std::holds_alternative<crawl::options>(result));
    return std::get<crawl::options>(std::move(result));
}

std::string error_of(const std::vector<std::string>& words) {
    const captured err(std::cerr);
    const auto result = crawl::parse_options(words);
    REQUIRE(std::holds_alternative<int>(result));
    CHECK(std::get<int>(result) == crawl::exit_usage);
    return err.text();
}

} // namespace

TEST_CASE("defaults_are_those_of_the_help") {
    const auto o = parse({"http://h"});
    CHECK(o.urls == std::vector<std::string>{"http://h/"});
    CHECK(o.concurrency == 16);
    CHECK(o.limits.per_host == 16);
    CHECK(o.limits.robots);
    CHECK(o.retries == 2);
    CHECK(o.fetch.timeout == 30s);
    CHECK(o.fetch.max_body == 16U << 20U);
    CHECK_FALSE(o.where.contains("http://g/"));
    CHECK_FALSE(o.quiet);
}

TEST_CASE("every_option_is_read") {
    const auto o = parse(
        {"--concurrency",
         "100",
         "--per-host",
         "8",
         "--depth",
         "0",
         "--max-pages",
         "5",
         "--timeout",
         "1500ms",
         "--retries",
         "0",
         "--delay",
         "0.25",
         "--all-hosts",
         "--include",
         "a",
         "--include",
         "b",
         "--exclude",
         "c",
         "--no-robots",
         "--user-agent",
         "me/1",
         "--output",
         "o",
         "--save",
         "s",
         "--report",
         "r",
         "--quiet",
         "--max-body",
         "2k",
         "h1",
         "https://h2/x"});
    CHECK(o.concurrency == 100);
    CHECK(o.limits.per_host == 8);
    CHECK(o.limits.depth == 0);
    CHECK(o.limits.max_pages == 5);
    CHECK(o.fetch.timeout == 1500ms);
    CHECK(o.retries == 0);
    CHECK(o.limits.delay == 250ms);
    CHECK(o.where.contains("http://elsewhere/b"));
    CHECK_FALSE(o.where.contains("http://elsewhere/bc"));
    CHECK_FALSE(o.limits.robots);
    CHECK(o.fetch.user_agent == "me/1");
    CHECK(o.output == "o");
    CHECK(o.save == "s");
    CHECK(o.report == "r");
    CHECK(o.quiet);
    CHECK(o.fetch.max_body == 2048);
    CHECK(o.urls == std::vector<std::string>{"http://h1/", "https://h2/x"});
}

TEST_CASE("the_last_of_two_options_counts") {
    const auto o = parse({"-c", "5", "-c", "7", "--all-hosts", "--same-host", "--no-robots", "--robots", "h"});
    CHECK(o.concurrency == 7);
    CHECK_FALSE(o.where.contains("http://g/"));
    CHECK(o.limits.robots);
}

TEST_CASE("bad_input_is_named") {
    CHECK(error_of({}).find("no URL") != std::string::npos);
    CHECK(error_of({"ftp://h/"}).find("ftp://h/") != std::string::npos);
    CHECK(error_of({"--concurrency", "0", "h"}).find("--concurrency") != std::string::npos);
    CHECK(error_of({"--concurrency", "x", "h"}).find("--concurrency") != std::string::npos);
    CHECK(error_of({"--include", "(", "h"}).find("(") != std::string::npos);
    CHECK(error_of({"--timeout", "5parsec", "h"}).find("--timeout") != std::string::npos);
    CHECK(error_of({"--no-such", "h"}).find("--no-such") != std::string::npos);
    CHECK(error_of({"--output"}).find("--output") != std::string::npos);
}

TEST_CASE("help_names_every_option_and_exit_status") {
    const captured out(std::cout);
    CHECK(std::get<int>(crawl::parse_options({"--help"})) == crawl::exit_done);
    for (const auto* name :
         {"--concurrency", "--per-host",  "--depth",   "--max-pages", "--timeout", "--retries",   "--delay",
          "--same-host",   "--all-hosts", "--include", "--exclude",   "--robots",  "--no-robots", "--user-agent",
          "--output",      "--save",      "--report",  "--resume",    "--quiet",   "--max-body",  "130"}) {
        INFO(name);
        CHECK(out.text().find(name) != std::string::npos);
    }
}

TEST_CASE("resume_needs_nothing_but_the_file") {
    std::string name = (std::filesystem::temp_directory_path() / "crawler-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()));
    const auto rows = name + "/rows.jsonl";
    const auto first = parse({"-c", "5", "--output", rows, "--exclude", "x y", "http://h/"});
    {
        crawl::row_files files(first);
        crawl::record row;
        row.url = "http://h/";
        files.write(row);
    }
    const auto second = parse({"--resume", rows, "-c", "9"});
    CHECK(second.urls == std::vector<std::string>{"http://h/"});
    CHECK(second.output == rows);
    CHECK(second.concurrency == 9);
    CHECK_FALSE(second.where.contains("http://h/x y"));
    {
        crawl::row_files files(second);
        CHECK(files.past().size() == 1);
        CHECK(files.resume_path() == rows);
        crawl::record row;
        row.url = "http://h/2";
        files.write(row);
        files.complete();
    }
    CHECK(crawl::read_rows(rows).rows.size() == 2);
    CHECK(crawl::read_words(rows).empty()); // Complete: nothing to resume.
    CHECK(error_of({"--resume", rows}).find("give the URLs") != std::string::npos);

    // An unfinished crawl is not overwritten by a new one, and a separate --output gets the earlier rows too.
    crawl::write_words(rows, {"http://h/"});
    {
        const captured err(std::cerr);
        const crawl::row_files files(first);
    }
    CHECK(crawl::read_rows(rows + "~").rows.size() == 2);
    const auto other = parse({"--resume", rows + "~", "--output", name + "/other", "http://h/"});
    { const crawl::row_files files(other); }
    CHECK(crawl::read_rows(name + "/other").rows.size() == 2);
    std::filesystem::remove_all(name);
}

TEST_CASE("a_frontier_is_a_redis_url_with_a_name") {
    const auto o = parse({"--frontier", "redis://h:7000/books", "--lease", "5s", "--frontier-wait", "100ms", "http://h"});
    REQUIRE(o.frontier);
    CHECK(o.frontier->host == "h");
    CHECK(o.frontier->port == 7000);
    CHECK(o.frontier->key == "books");
    CHECK(o.frontier->password.empty());
    CHECK(o.lease == 5s);
    CHECK(o.frontier_wait == 100ms);
    CHECK_FALSE(parse({"http://h"}).frontier);

    const auto full = parse({"--frontier=redis://me:s%40cret@[::1]/x", "http://h"}).frontier;
    REQUIRE(full);
    CHECK(full->user == "me");
    CHECK(full->password == "s@cret");
    CHECK(full->host == "::1");
    CHECK(full->port == 6379);
    CHECK(full->text() == "redis://[::1]:6379/x");

    for (const char* wrong :
         {"h", "http://h/x", "redis://", "redis://h", "redis://h/", "redis://:6379/x", "redis://h:/x", "redis://h:7x/x", "redis://h:70000/x",
          "redis://h:-1/x", "redis://[::1/x", "redis://me@h/x", "redis://h/{x}", "redis://h/a/b"}) {
        INFO(wrong);
        CHECK(error_of({"--frontier", wrong, "http://h"}).find("not a frontier") != std::string::npos);
    }
    CHECK_FALSE(error_of({"--lease", "0", "http://h"}).empty());
}
