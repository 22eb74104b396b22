// SPDX-License-Identifier: Apache-2.0
#include "crawl.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "rows.hpp"

#include <curl/curl.h>
#include <libxml/parser.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <iostream>
#include <stdexcept>

namespace {

volatile std::sig_atomic_t last_signal = 0;

/// The first asks for an orderly end, the second ends at once: the rows so far are in their files already.
void on_signal(int number) {
    if (last_signal != 0) _exit(128 + number);
    last_signal = number;
}

void prepare_process() {
    std::setlocale(LC_CTYPE, "C.UTF-8"); // libcurl reads international host names by it.
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    xmlInitParser();
}

std::string joined(const std::vector<std::string>& texts) {
    std::string out;
    for (const auto& text : texts) out += (out.empty() ? "" : " ") + text;
    return out;
}

/// Each fiber has a connection, and may be looking up a name. Throws where that many files cannot be open.
void allow_connections(int concurrency) {
    const auto needed = static_cast<rlim_t>(concurrency) * 2 + 64;
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
    limit.rlim_cur = std::min(std::max(limit.rlim_cur, needed), limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < needed)
        throw std::runtime_error(
            "only " + std::to_string(limit.rlim_cur) + " files may be open (ulimit -n), too few for --concurrency " +
            std::to_string(concurrency));
}

/// A word as a shell takes it.
std::string quoted(const std::string& word) {
    if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%") ==
        std::string::npos)
        return word;
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
    return out + "'";
}

void print_summary(
    std::ostream& out, const crawl::statistics& numbers, std::uint64_t elapsed_ms, const crawl::options& settings) {
    out << "pages      " << numbers.pages << " (" << numbers.redirects << " redirects)\n"
        << "bytes      " << numbers.bytes << " (" << crawl::human_bytes(numbers.bytes) << ")\n"
        << "failures   " << numbers.failures << "\n";
    if (numbers.refused) out << "refused    " << numbers.refused << " by robots.txt\n";
    out << "time       " << crawl::human_time(elapsed_ms) << " with " << settings.concurrency << " fibers\n"
        << "one fiber  " << crawl::human_time(numbers.requests_ms) << " would have been needed\n";
    if (!settings.output.empty() && settings.output != "-") out << "rows       " << settings.output << "\n";
    if (!settings.save.empty()) out << "pages in   " << settings.save << "\n";
    if (!settings.report.empty()) out << "report     " << settings.report << "\n";
    out << std::flush;
}

int run(const crawl::options& settings) {
    allow_connections(settings.concurrency);
    crawl::row_files rows(settings);
    crawl::crawler crawl(settings, rows);
    crawl::progress line(settings.quiet);
    try {
        crawl.run([&] {
            if (last_signal != 0 && !crawl.stopped()) {
                crawl.stop();
                line.clear();
                if (!settings.quiet) std::cerr << "crawler: finishing what is in flight; once more to end at once\n";
            }
            line.update(crawl.progress_now());
        });
    } catch (...) {
        line.clear();
        std::cerr << "crawler: stopped by an error; to go on: crawler --resume " << quoted(rows.resume_path()) << '\n';
        throw;
    }
    line.clear();

    const auto& numbers = crawl.numbers();
    const auto elapsed = static_cast<std::uint64_t>(crawl.progress_now().elapsed.count());
    if (!crawl.stopped()) rows.complete();
    if (!settings.report.empty()) {
        crawl::write_report(
            settings.report, crawl::html_report(
                                 numbers, {.title = joined(settings.urls),
                                           .elapsed_ms = elapsed,
                                           .concurrency = settings.concurrency,
                                           .interrupted = crawl.stopped(),
                                           .broken = crawl.broken_links()}));
    }
    if (!settings.quiet) print_summary(settings.output == "-" ? std::cerr : std::cout, numbers, elapsed, settings);
    if (crawl.stopped()) {
        std::cerr << "crawler: interrupted; to go on: crawler --resume " << quoted(rows.resume_path()) << '\n';
        return last_signal == SIGTERM ? crawl::exit_terminated : crawl::exit_interrupted;
    }
    if (settings.frontier && numbers.pages == 0) {
        if (!settings.quiet) std::cerr << "crawler: nothing was left to fetch in " << settings.frontier->text() << '\n';
        return crawl::exit_done;
    }
    const auto silent = numbers.by_status.find(0);
    if (numbers.pages == (silent == numbers.by_status.end() ? 0 : silent->second)) {
        std::cerr << "crawler: no page could be fetched\n";
        return crawl::exit_failed;
    }
    return crawl::exit_done;
}

} // namespace

int main(int argc, char** argv) {
    prepare_process();
    const auto parsed = crawl::parse_options({argv + 1, argv + argc});
    if (const auto* status = std::get_if<int>(&parsed)) return *status;
    try {
        return run(std::get<crawl::options>(parsed));
    } catch (const std::exception& e) {
        std::cerr << "crawler: " << e.what() << '\n';
        return crawl::exit_failed;
    }
}
