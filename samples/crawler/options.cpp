// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "journal.hpp"
#include "url.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>

namespace crawl {
namespace {

constexpr const char* about = "Fetches web pages and what they link to, many at a time, and says what it found.\n"
                              "Stays on the hosts of the start URLs and obeys robots.txt unless told otherwise.";

constexpr const char* footer = R"(
Times take a unit: 500ms, 2s, 1m (seconds without one). Sizes too: 64k, 16M, 1G.

Each row of --output is a JSON object with the keys url status content_type bytes elapsed_ms depth referrer attempts
location error links; status is 0 where there was no answer. A redirect is a row of its own.

Ctrl-C lets the pages in flight finish; a second one ends at once. `crawler --resume FILE` then goes on, also after a crash.

Crawlers on any number of machines that are given the same --frontier and the same URLs and limits fetch each page once between
them. Each writes the rows of its own pages. One that dies loses none: the others take its pages over.

Exit status: 0 the crawl is complete, broken links or not; 1 no start URL answered or a file could not be written;
2 bad usage; 130 interrupted, 143 terminated (both can be resumed).

Examples:
  crawler --report site.html https://example.org/
  crawler -c 100 --depth 3 --output site.jsonl --exclude '/archive/' https://example.org/ https://example.com/
  crawler --resume site.jsonl
  crawler --frontier redis://10.0.0.1:6379/example -o mine.jsonl https://example.org/)";

/// What CLI11 fills in before it is checked and turned into options.
struct raw_options {
    double timeout = 30;
    double delay = 0;
    std::string frontier;
    double lease = 30;
    double frontier_wait = 30;
    std::vector<std::string> include;
    std::vector<std::string> exclude;
    std::uint64_t max_body = 16U << 20U;
    bool all_hosts = false;
    int depth = -1;
    std::uint64_t max_pages = 0;
    int per_host = 0;
};

CLI::AsNumberWithUnit time_unit() {
    static const std::map<std::string, double> units{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    return CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_SENSITIVE, "TIME");
}

void describe(CLI::App& app, options& out, raw_options& raw) {
    const auto last = CLI::MultiOptionPolicy::TakeLast;
    app.add_option("URL", out.urls, "Where to start; http:// where no scheme is given");
    const auto add = [&](const char* name, auto& value, const char* text) {
        return app.add_option(name, value, text)->multi_option_policy(last);
    };
    add("-c,--concurrency", out.concurrency, "Fibers, that is requests at the same time")
        ->capture_default_str()
        ->check(CLI::Range(1, 100'000));
    add("--per-host", raw.per_host, "Requests at the same time to one host (default: no limit of its own)")
        ->check(CLI::Range(1, 100'000));
    add("--depth", raw.depth, "Links to follow from a start URL; 0: only the start URLs (default: no limit)")
        ->check(CLI::Range(0, 1'000'000));
    add("--max-pages", raw.max_pages, "Stop after this many pages (default: no limit)")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40U));
    add("--timeout", raw.timeout, "For one request (default: 30s)")
        ->transform(time_unit())
        ->check(CLI::Range(0.001, 86400.0));
    add("--retries", out.retries, "More attempts after no answer, 408, 429 or 5xx, with growing pauses")
        ->capture_default_str()
        ->check(CLI::Range(0, 100));
    add("--delay", raw.delay, "Between the starts of two requests to one host (default: none)")
        ->transform(time_unit())
        ->check(CLI::Range(0.0, 86400.0));
    add("--max-body", raw.max_body, "Cut bodies here (default: 16M)")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40U));
    app.add_flag("--all-hosts,!--same-host", raw.all_hosts, "Leave the hosts of the start URLs (default: --same-host)")
        ->multi_option_policy(last);
    app.add_option("--include", raw.include, "Follow only URLs that match this regular expression (may repeat)")
        ->allow_extra_args(false);
    app.add_option("--exclude", raw.exclude, "Follow no URL that matches this regular expression (may repeat)")
        ->allow_extra_args(false);
    app.add_flag(
           "--robots,!--no-robots", out.limits.robots, "Obey robots.txt, crawl-delay and nofollow (default: --robots)")
        ->multi_option_policy(last);
    add("--user-agent", out.fetch.user_agent, "Name to give, also to robots.txt")->capture_default_str();
    add("-o,--output", out.output, "Write a row of JSON for each URL; - is the standard output")
        ->type_name("FILE.jsonl");
    add("--save", out.save, "Keep the bodies of 2xx answers below this directory")->type_name("DIR");
    add("--report", out.report, "Write a report")->type_name("FILE.html");
    add("--resume", out.resume, "Go on with an unfinished crawl from the rows it wrote; a new file starts one")
        ->type_name("FILE.jsonl");
    add("--frontier", raw.frontier, "Share the crawl with the other crawlers that name it, by a Redis server")
        ->type_name("redis://[USER:PASSWORD@]HOST[:PORT]/NAME");
    add("--lease", raw.lease, "A crawler that the frontier has not heard of for so long is dead (default: 30s)")
        ->transform(time_unit())
        ->check(CLI::Range(0.1, 86400.0));
    add("--frontier-wait", raw.frontier_wait, "Give up a frontier that is away for so long (default: 30s)")
        ->transform(time_unit())
        ->check(CLI::Range(0.0, 86400.0));
    app.add_flag("-q,--quiet", out.quiet, "No progress and no summary, only errors")->multi_option_policy(last);
}

/// CLI11 wants the words last first.
void parse_words(CLI::App& app, std::vector<std::string> words) {
    std::reverse(words.begin(), words.end());
    app.parse(std::move(words));
}

std::vector<std::string> without_resume(const std::vector<std::string>& words) {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i] == "--resume") ++i;
        else if (!words[i].starts_with("--resume=")) out.push_back(words[i]);
    }
    return out;
}

void check(options& out, const raw_options& raw) {
    if (out.urls.empty())
        throw CLI::ValidationError(
            out.resume.empty() ? "no URL given" : out.resume + " does not say how its crawl began; give the URLs too");
    for (auto& url : out.urls) {
        auto normal = parse_url_argument(url);
        if (!normal) throw CLI::ValidationError("not an http or https URL: " + url);
        url = *std::move(normal);
        if (!raw.all_hosts) out.where.stay_on_host_of(url);
    }
    const auto compile = [](const std::string& expression, auto add) {
        try {
            add(expression);
        } catch (const std::regex_error& e) {
            throw CLI::ValidationError("not a regular expression: " + expression + " (" + e.what() + ")");
        }
    };
    for (const auto& one : raw.include) compile(one, [&](const auto& e) { out.where.include(e); });
    for (const auto& one : raw.exclude) compile(one, [&](const auto& e) { out.where.exclude(e); });
    if (!raw.frontier.empty()) {
        out.frontier = parse_redis_url(raw.frontier);
        if (!out.frontier) throw CLI::ValidationError("not a frontier: " + raw.frontier + " (redis://HOST:PORT/NAME is one)");
    }
    if (out.resume == "-") throw CLI::ValidationError("--resume needs a file");

    const auto to_ms = [](double seconds) {
        return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000 + 0.5));
    };
    out.fetch.timeout = to_ms(raw.timeout);
    out.fetch.max_body = raw.max_body;
    out.lease = to_ms(raw.lease);
    out.frontier_wait = to_ms(raw.frontier_wait);
    out.limits.delay = to_ms(raw.delay);
    out.limits.per_host = raw.per_host ? raw.per_host : out.concurrency;
    if (raw.depth >= 0) out.limits.depth = raw.depth;
    if (raw.max_pages) out.limits.max_pages = raw.max_pages;
}

} // namespace

std::variant<options, int> parse_options(const std::vector<std::string>& words) {
    const auto fresh = [](CLI::App& app, options& out, raw_options& raw) {
        out.fetch.user_agent = "weft-crawler/0.1";
        app.footer(footer);
        describe(app, out, raw);
    };
    CLI::App app(about, "crawler");
    options out;
    raw_options raw;
    fresh(app, out, raw);
    try {
        parse_words(app, words);
        out.words = without_resume(words);
        if (!out.resume.empty()) {
            auto all = read_words(out.resume);
            if (!out.urls.empty()) all.clear(); // A whole command line is here: nothing is missing.
            all.insert(all.end(), out.words.begin(), out.words.end());
            CLI::App again(about, "crawler");
            options whole;
            raw_options whole_raw;
            fresh(again, whole, whole_raw);
            parse_words(again, all);
            whole.resume = out.resume;
            whole.words = std::move(all);
            out = std::move(whole);
            raw = std::move(whole_raw);
        }
        check(out, raw);
    } catch (const CLI::CallForHelp&) {
        std::cout << app.help();
        return int{exit_done};
    } catch (const CLI::Error& e) {
        std::cerr << "crawler: " << e.what() << "\nRun crawler --help for what it takes.\n";
        return int{exit_usage};
    } catch (const std::exception& e) {
        std::cerr << "crawler: " << e.what() << '\n';
        return int{exit_failed};
    }
    return out;
}

} // namespace crawl
