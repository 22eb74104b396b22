// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the servers here share: they say where they listen, end by SIGINT or SIGTERM as a server should, and at SIGUSR1 tell of all their fibers.

#include "options/options.hpp"

#include <weft/fiber.hpp>
#include <weft/inspect.hpp>
#include <weft/server.hpp>
#include <weft/signal.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <iostream>
#include <string>

#include <sys/resource.h>

namespace servers {

struct settings {
    std::string address = "127.0.0.1:0";
    std::size_t pool = 0;
    unsigned workers = 1;
    bool processes = false;
    std::size_t seconds_to_stop = 5;

    void add_to(samples::options& args) {
        args.text("address", address, "host:port, :port, [v6]:port or unix:/path; port 0: any that is free");
        args.number("--pool", pool, "Clients served at once; 0: no bound", 0, 1'000'000);
        args.number("--workers", workers, "Kernel threads, each with a hub of its own", 1, 64);
        args.flag("--processes", processes, "Workers are processes");
        args.number("--stop", seconds_to_stop, "Seconds that clients have to end, after a signal", 0, 1'000'000);
    }
    [[nodiscard]] weft::server_options options() const {
        return {.pool = pool, .workers = workers, .kind = processes ? weft::worker_kind::processes : weft::worker_kind::threads};
    }
};

/// A connection is an open file.
inline void allow_many_connections() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Serves until SIGINT or SIGTERM. `stopping` is called before the server waits for its clients. The exit status.
template <class Stopping>
int serve(weft::stream_server& server, const settings& s, Stopping stopping) {
    try {
        bool all_ended = true;
        const auto stop = [&] {
            stopping();
            all_ended = server.stop(std::chrono::seconds(s.seconds_to_stop));
        };
        weft::signal_handler interrupted(SIGINT, stop);
        weft::signal_handler terminated(SIGTERM, stop);
        weft::signal_handler asked(SIGUSR1, [] {
            weft::print_run_info(std::cout);
            std::cout << std::endl; // an empty line is the end
        });
        server.start();
        std::cout << server.address() << std::endl; // who waits for this line may connect
        server.serve_forever();
        std::cout << (all_ended ? "stopped" : "stopped; some clients had to be cut off") << std::endl;
        return 0;
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}

} // namespace servers
