// SPDX-License-Identifier: Apache-2.0
// Fetches from a file server: one file to standard output, or one many times by many clients, each over one connection.
#include "common.hpp"

#include <weft/pool.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace {

constexpr std::chrono::seconds patience{30};

struct answer {
    int status = 0;
    std::string body;
    bool closes = false;
};

answer fetch(weft::connection& server, const std::string& host, const std::string& path, const std::string& range) {
    std::string text = "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n";
    if (!range.empty()) text += "Range: bytes=" + range + "\r\n";
    server.write(text + "\r\n", patience);
    answer a;
    const auto first = server.read_line(1000, patience);
    if (!first || !first->starts_with("HTTP/1.1 ") || first->size() < 12) throw std::runtime_error("no answer");
    a.status = std::stoi(first->substr(9, 3));
    std::size_t length = 0;
    for (;;) {
        auto line = server.read_line(8192, patience);
        if (!line) throw std::runtime_error("half an answer");
        if (line->empty()) break;
        if (line->starts_with("Content-Length: ")) length = std::stoul(line->substr(16));
        a.closes |= *line == "Connection: close";
    }
    a.body.resize(length);
    if (server.read_exactly(a.body.data(), length, patience) != length) throw std::runtime_error("half a body");
    return a;
}

} // namespace

int main(int argc, char** argv) {
    samples::options args("Fetches a file from file-server and writes it to standard output.", "file-client");
    std::string address, path, range;
    int clients = 1, requests = 1;
    args.required_text("address", address, "As the server prints it");
    args.required_text("path", path, "Beginning with /");
    args.text("--range", range, "A part only: 0-99, 100- or -100");
    args.number("--clients", clients, "Count instead of writing: this many at once", 1, 100'000);
    args.number("--requests", requests, "Of each client, over one connection", 1, 10'000'000);
    args.needs("--requests", "--clients");
    if (const auto status = args.parse(argc, argv)) return *status;
    servers::allow_many_connections();
    try {
        if (!args.given("--clients")) {
            weft::connection server = weft::connection::open(address, patience);
            const answer a = fetch(server, address, path, range);
            std::cout << a.body << std::flush;
            if (a.status < 300) return 0;
            std::cerr << "file-client: " << a.status << '\n';
            return 1;
        }
        std::uint64_t good = 0, bytes = 0;
        weft::group all;
        for (int c = 0; c < clients; ++c) {
            all.spawn([&] {
                weft::connection server = weft::connection::open(address, patience);
                for (int i = 0; i < requests; ++i) {
                    const answer a = fetch(server, address, path, range);
                    good += a.status < 300 ? 1 : 0;
                    bytes += a.body.size();
                    if (a.closes && i + 1 < requests) server = weft::connection::open(address, patience);
                }
            });
        }
        all.join({}, true);
        std::cout << good << " answers, " << bytes << " bytes\n";
        return good == static_cast<std::uint64_t>(clients) * static_cast<std::uint64_t>(requests) ? 0 : 1;
    } catch (const std::exception& e) {
        std::cerr << "file-client: " << e.what() << '\n';
        return 1;
    }
}
