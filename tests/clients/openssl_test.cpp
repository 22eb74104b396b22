// SPDX-License-Identifier: Apache-2.0
// OpenSSL on blocking sockets in fibers: SSL_connect, SSL_read and SSL_write against `openssl s_server` and nginx, and SSL_accept
// with both ends in one process.
#include "concurrent.hpp"
#include "nginx.hpp"
#include "programs.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <memory>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using namespace clients_test;

namespace {

using context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

/// One end of a connection: a blocking socket and TLS on it.
class stream {
public:
    stream(SSL_CTX* how, int fd) : fd_(fd), ssl_(SSL_new(how)) { SSL_set_fd(ssl_, fd); }
    ~stream() {
        SSL_free(ssl_);
        ::close(fd_);
    }
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    [[nodiscard]] SSL* get() const noexcept { return ssl_; }
    [[nodiscard]] int error(int result) const noexcept { return SSL_get_error(ssl_, result); }
    bool write(const std::string& text) {
        return SSL_write(ssl_, text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size());
    }
    /// Until the other side ends it.
    std::string read_all() {
        std::string all;
        char some[20000];
        for (int n = 0; (n = SSL_read(ssl_, some, sizeof some)) > 0;) all.append(some, static_cast<std::size_t>(n));
        return all;
    }

private:
    int fd_;
    SSL* ssl_;
};

int tcp_to(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0) return fd;
    ::close(fd);
    throw std::runtime_error("connect");
}

context client_context(const std::string& authority) {
    context c(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    SSL_CTX_load_verify_locations(c.get(), authority.c_str(), nullptr);
    SSL_CTX_set_verify(c.get(), SSL_VERIFY_PEER, nullptr);
    return c;
}

std::string body_of(const std::string& answer) {
    const auto end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "no answer" : answer.substr(end + 4);
}

std::string request(const std::string& path) {
    return "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
}

/// openssl s_server, which serves one connection after the other; -WWW answers with files.
class s_server {
public:
    s_server(const nginx& web, const words& more) : server_(command(web, more), port_, place_) {}
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    server& process() { return server_; }

private:
    words command(const nginx& web, const words& more) {
        words all{"openssl", "s_server", "-accept", std::to_string(port_), "-cert", web.certificate(), "-key", web.key(), "-quiet"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    directory place_;
    std::uint16_t port_ = free_port();
    server server_;
};

void ignore_broken_pipes() {
    std::signal(SIGPIPE, SIG_IGN);
} // OpenSSL writes by write(2)

} // namespace

TEST_CASE("a hundred fibers speak TLS with nginx at once", "[serial]") {
    ignore_broken_pipes();
    const nginx web;
    const auto tls = client_context(web.certificate());
    std::vector<std::unique_ptr<stream>> streams;
    int failures = 0;
    const auto ask = [&](int i) {
        auto& s = *streams[static_cast<std::size_t>(i)];
        if (!s.write(request("/slow")) || body_of(s.read_all()) != "slow but sure") ++failures;
    };
    const auto connect = [&] {
        streams.clear();
        for (int i = 0; i < fibers; ++i) streams.push_back(std::make_unique<stream>(tls.get(), tcp_to(web.tls_port())));
        all_at_once([&](int i) {
            if (SSL_connect(streams[static_cast<std::size_t>(i)]->get()) != 1) ++failures;
        });
    };
    milliseconds best = milliseconds::max();
    for (int attempt = 0; attempt < 3 && best >= limit_for_all; ++attempt) {
        connect();
        best = std::min(best, all_at_once(ask));
    }
    std::printf("OpenSSL: %d fibers with a query each %lld ms\n", fibers, static_cast<long long>(best.count()));
    CHECK(failures == 0);
    CHECK(best < limit_for_all);
}

TEST_CASE("OpenSSL speaks with s_server, and big answers arrive whole") {
    ignore_broken_pipes();
    const nginx web;
    const std::string expected = big_text();
    web.place().write("big", expected);
    // Its files are those of its directory.
    REQUIRE(::chdir(web.place().path().c_str()) == 0);
    const s_server files(web, {"-WWW"});
    const auto tls = client_context(web.certificate());
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(weft::spawn([&, i] {
            stream s(tls.get(), tcp_to(i % 2 == 0 ? files.port() : web.tls_port()));
            CHECK(SSL_connect(s.get()) == 1);
            CHECK(s.write(request("/big")));
            CHECK((body_of(s.read_all()) == expected));
        }));
    for (auto& f : all) f.get(patience);
}

TEST_CASE("both ends of TLS connections are fibers of one kernel thread") {
    ignore_broken_pipes();
    const nginx web; // for its certificate
    context serving(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
    REQUIRE(SSL_CTX_use_certificate_file(serving.get(), web.certificate().c_str(), SSL_FILETYPE_PEM) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey_file(serving.get(), web.key().c_str(), SSL_FILETYPE_PEM) == 1);
    const auto asking = client_context(web.certificate());
    const std::string text = big_text();
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 4; ++i) {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        all.push_back(weft::spawn([&, fd = ends[0]] {
            stream s(serving.get(), fd);
            CHECK(SSL_accept(s.get()) == 1);
            CHECK(s.write(text)); // more than the socket holds
            SSL_shutdown(s.get());
        }));
        all.push_back(weft::spawn([&, fd = ends[1]] {
            stream s(asking.get(), fd);
            CHECK(SSL_connect(s.get()) == 1);
            CHECK((s.read_all() == text));
        }));
    }
    for (auto& f : all) f.get(patience);
}

TEST_CASE("TLS is cancelled by a timeout or a kill in a handshake or a read, and its connection can be closed") {
    ignore_broken_pipes();
    nginx web;
    const auto tls = client_context(web.certificate());
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0); // it never says a word
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&where), size) == 0);
    REQUIRE(::listen(listener, 10) == 0);
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size) == 0);
    const std::uint16_t silent = ntohs(where.sin_port);
    web.behind().signal(SIGSTOP);

    weft::spawn([&] {
        stream s(tls.get(), tcp_to(silent));
        int error = 0, number = 0;
        CHECK_THROWS_AS(
            weft::with_timeout(
                100ms,
                [&] {
                    const int result = SSL_connect(s.get());
                    number = errno;
                    error = s.error(result);
                }),
            weft::timeout_error);
        CHECK(error == SSL_ERROR_SYSCALL);
        CHECK(number == ETIMEDOUT);

        stream t(tls.get(), tcp_to(web.tls_port()));
        CHECK(SSL_connect(t.get()) == 1);
        CHECK(t.write(request("/slow")));
        CHECK_THROWS_AS(weft::with_timeout(100ms, [&] { CHECK(t.read_all().empty()); }), weft::timeout_error);
    }).get(patience);

    for (const bool in_handshake : {true, false}) {
        bool waiting = false, closed = false;
        auto f = weft::spawn([&] {
            struct note {
                bool& closed;
                ~note() { closed = true; }
            } const at_end{closed};
            stream s(tls.get(), tcp_to(in_handshake ? silent : web.tls_port()));
            waiting = in_handshake;
            if (SSL_connect(s.get()) == 1) {
                s.write(request("/slow"));
                waiting = true;
                (void)s.read_all();
            }
            weft::this_fiber::yield();
            FAIL("the kill was lost");
        });
        wait_until([&] { return waiting; }, "the fiber waits for its peer");
        CHECK(time_of([&] { CHECK(f.kill(patience)); }) < 2s);
        CHECK(closed);
    }
    ::close(listener);
}

TEST_CASE("a TLS server that goes away is an error of OpenSSL, then a connection again") {
    ignore_broken_pipes();
    const nginx web;
    s_server quiet(web, {"-WWW"});
    const auto tls = client_context(web.certificate());
    weft::spawn([&] {
        stream s(tls.get(), tcp_to(quiet.port()));
        CHECK(SSL_connect(s.get()) == 1);
        auto stopper = weft::spawn([&] { quiet.process().stop(); });
        char some[100];
        const int result = SSL_read(s.get(), some, sizeof some);
        CHECK(result <= 0);
        const int error = s.error(result);
        CHECK((error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)); // no close_notify came
        ERR_clear_error();
        stopper.get(patience);
        CHECK_THROWS(tcp_to(quiet.port()));
        quiet.process().start();
        stream again(tls.get(), tcp_to(quiet.port()));
        CHECK(SSL_connect(again.get()) == 1);
    }).get(patience);
}

TEST_CASE("openssl s_client does under weft what it does without") {
    const nginx web;
    same_under_weft(
        "printf 'GET /slow HTTP/1.0\\r\\n\\r\\n' | timeout 60 $WEFT openssl s_client -quiet -verify_quiet -CAfile " + web.certificate() +
        " -connect localhost:" + std::to_string(web.tls_port()) + " | grep -v Date");
}
