// SPDX-License-Identifier: Apache-2.0
// Many clients of an echo server at once; each checks what comes back.
#include "common.hpp"

#include <weft/pool.hpp>

#include <string>

namespace {

bool talk(const std::string& address, int client, int messages, std::size_t size) {
    weft::connection server = weft::connection::open(address, std::chrono::seconds(30));
    std::string back(size, '\0');
    for (int i = 0; i < messages; ++i) {
        std::string message = std::to_string(client) + ":" + std::to_string(i) + " ";
        message.resize(size, static_cast<char>('a' + (client + i) % 26));
        server.write(message);
        if (server.read_exactly(back.data(), size, std::chrono::seconds(30)) != size || back != message) return false;
    }
    server.shutdown_write();
    return server.read_all(std::chrono::seconds(30)).empty();
}

} // namespace

int main(int argc, char** argv) {
    samples::options args("Talks to an echo server with many clients at once and checks every answer.", "echo-client");
    std::string address;
    int clients = 100, messages = 100;
    std::size_t size = 64;
    args.required_text("address", address, "As the server prints it");
    args.number("--clients", clients, "How many, at once", 1, 100'000);
    args.number("--messages", messages, "Of each", 1, 1'000'000);
    args.number("--size", size, "Bytes of a message", 1, 16'000'000);
    if (const auto status = args.parse(argc, argv)) return *status;
    servers::allow_many_connections();
    try {
        int right = 0;
        weft::group all;
        for (int i = 0; i < clients; ++i) all.spawn([&, i] { right += talk(address, i, messages, size) ? 1 : 0; });
        all.join({}, true);
        std::cout << right << " of " << clients << " clients got back all of their " << messages << " messages\n";
        return right == clients ? 0 : 1;
    } catch (const std::exception& e) {
        std::cerr << "echo-client: " << e.what() << '\n';
        return 1;
    }
}
