// SPDX-License-Identifier: Apache-2.0
// Says what it reads from standard input, and prints what is said.
#include "common.hpp"

#include <weft/errors.hpp>
#include <weft/io.hpp>

#include <system_error>

#include <unistd.h>

namespace {

/// Standard input to the server, until its end.
void say_all(weft::connection& server) {
    char buffer[4096];
    for (;;) {
        weft::wait_readable(STDIN_FILENO); // so that others run while nobody types
        const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (n <= 0) break;
        server.write(buffer, static_cast<std::size_t>(n));
    }
    server.shutdown_write();
}

} // namespace

int main(int argc, char** argv) {
    samples::options args("Talks in a room of chat-server: standard input is said, what is said is printed.", "chat-client");
    std::string address, name;
    args.required_text("address", address, "As the server prints it");
    args.required_text("name", name, "Who you are");
    if (const auto status = args.parse(argc, argv)) return *status;
    try {
        weft::connection server = weft::connection::open(address, std::chrono::seconds(10));
        if (!server.read_line(1000, std::chrono::seconds(10))) throw std::runtime_error("there is no room");
        server.write(name + "\n");
        auto talking = weft::spawn([&] { say_all(server); });
        while (const auto line = server.read_line()) std::cout << *line << std::endl;
        talking.kill();
        return 0;
    } catch (const std::exception& e) {
        std::cerr << "chat-client: " << e.what() << '\n';
        return 1;
    }
}
