// SPDX-License-Identifier: Apache-2.0
// slow_server PORT: answers every HTTP request after 100 ms, however many there are at once. /big is 10 MB of a known text.
#include <chrono>
#include <cstdlib>
#include <deque>
#include <string>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;
constexpr auto answer_time = std::chrono::milliseconds(100);

struct request {
    int fd;
    clock_type::time_point due;
};

/// The server before this one waits for the end of the headers only, and reads whole answers.
void answer(int fd) {
    char text[8192];
    const ssize_t n = ::recv(fd, text, sizeof text, 0);
    const bool big = std::string(text, n > 0 ? static_cast<std::size_t>(n) : 0).starts_with("GET /big");
    std::string body = "slow but sure";
    if (big) {
        body.clear();
        for (int line = 0; body.size() < 10'000'000; ++line) body += "line " + std::to_string(line) + "\n";
    }
    const std::string all = "HTTP/1.0 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    for (std::size_t sent = 0; sent < all.size();) {
        const ssize_t some = ::send(fd, all.data() + sent, all.size() - sent, MSG_NOSIGNAL);
        if (some <= 0) break;
        sent += static_cast<std::size_t>(some);
    }
    ::close(fd);
}

} // namespace

int main(int count, char** words) {
    if (count != 2) return 2;
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(std::atoi(words[1])));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 || ::listen(listener, 1024) != 0) return 1;
    std::deque<request> waiting; // by when they are due
    for (;;) {
        int pause = -1;
        if (!waiting.empty()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(waiting.front().due - clock_type::now());
            pause = left.count() > 0 ? static_cast<int>(left.count()) : 0;
        }
        pollfd p{listener, POLLIN, 0};
        if (::poll(&p, 1, pause) > 0)
            if (const int fd = ::accept(listener, nullptr, nullptr); fd >= 0) waiting.push_back({fd, clock_type::now() + answer_time});
        while (!waiting.empty() && waiting.front().due <= clock_type::now()) {
            answer(waiting.front().fd);
            waiting.pop_front();
        }
    }
}
