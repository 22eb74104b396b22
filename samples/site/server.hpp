// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plan.hpp"

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>

namespace site {

/// A web server as one writes it first: socket, bind, listen, accept, and for each connection a fiber that reads a request, waits, and
/// writes the answer, all by blocking calls. weft::shim makes each of them let the other fibers run.
class server {
public:
    /// Listens on 127.0.0.1; port 0 takes a free one. `log`, if any, gets a line for each request: its target. Throws std::system_error.
    server(const plan& what, std::uint16_t port, std::ostream* log);
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    std::uint16_t port() const { return port_; }

    /// Accepts until accept fails for good. Call it in a fiber.
    void serve();

private:
    void serve_connection(int fd);
    bool serve_request(int fd, const std::string& request);
    bool answer(int fd, reply what, bool head_only);

    const plan& plan_;
    std::ostream* log_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::map<std::string, unsigned, std::less<>> flaky_requests_;
};

} // namespace site
