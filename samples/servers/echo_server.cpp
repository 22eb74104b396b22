// SPDX-License-Identifier: Apache-2.0
// Sends back whatever it gets: a fiber for each client, written as if there were no other.
#include "common.hpp"

#include <weft/errors.hpp>

#include <array>
#include <system_error>

int main(int argc, char** argv) {
    samples::options args("Sends back whatever it gets. Ends by SIGINT or SIGTERM.", "echo-server");
    servers::settings settings;
    std::size_t idle = 60;
    settings.add_to(args);
    args.number("--idle", idle, "Seconds of silence after which a client is cut off", 0, 1'000'000);
    if (const auto status = args.parse(argc, argv)) return *status;
    servers::allow_many_connections();

    weft::stream_server server(settings.address, [idle](weft::connection& client) {
        std::array<char, 16 * 1024> buffer;
        try {
            while (const std::size_t n = client.read(buffer.data(), buffer.size(), std::chrono::seconds(idle)))
                client.write(buffer.data(), n, std::chrono::seconds(idle));
        } catch (const weft::timeout_error&) {
        } catch (const std::system_error&) { // the client has gone
        }
    }, settings.options());
    return servers::serve(server, settings, [] {});
}
