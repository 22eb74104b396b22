// SPDX-License-Identifier: Apache-2.0
#include "plan.hpp"
#include "server.hpp"
#include "options/options.hpp"

#include <weft/fiber.hpp>

#include <sys/resource.h>

#include <fstream>
#include <iostream>
#include <stdexcept>

namespace {

/// A connection is an open file.
void allow_many_connections() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

int main(int argc, char** argv) {
    samples::options args("Serves a made-up web site on 127.0.0.1, for a crawler to try itself on. Ends by a signal.", "site");
    site::plan_options options;
    std::uint16_t port = 0;
    std::int64_t delay = options.delay.count();
    std::int64_t slow = options.slow_delay.count();
    bool manifest = false;
    std::string log_path;
    args.number("--pages", options.pages, "Ordinary pages", 1, 1'000'000);
    args.number("--delay", delay, "Milliseconds before every answer", 0, 60'000);
    args.number("--slow", slow, "More milliseconds before that of a slow page", 0, 60'000);
    args.flag("--plain", options.plain, "Ordinary pages only: nothing slow, failing, broken or redirected");
    args.number("--port", port, "0: any that is free", 0, 65535);
    args.text("--log", log_path, "Append the target of each request to this file");
    args.flag("--manifest", manifest, "Print what exists as JSON, and end");
    if (const auto status = args.parse(argc, argv)) return *status;
    options.delay = std::chrono::milliseconds(delay);
    options.slow_delay = std::chrono::milliseconds(slow);

    allow_many_connections();
    try {
        const site::plan plan(options);
        if (manifest) {
            std::cout << plan.manifest();
            return 0;
        }
        std::ofstream log;
        if (!log_path.empty()) log.open(log_path, std::ios::app);
        if (!log) throw std::runtime_error("cannot write to " + log_path);
        site::server server(plan, port, log_path.empty() ? nullptr : &log);
        std::cout << "http://127.0.0.1:" << server.port() << "/" << std::endl;
        weft::spawn({.name = "accept"}, [&] { server.serve(); }).get();
    } catch (const std::exception& e) {
        std::cerr << "site: " << e.what() << '\n';
        return 1;
    }
}
