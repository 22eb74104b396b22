// SPDX-License-Identifier: Apache-2.0
#pragma once

// nginx with TLS before a server that takes a tenth of a second over each answer.

#include "server.hpp"

#include <memory>
#include <string>

namespace clients_test {

class nginx {
public:
    nginx() : certificate_(place_ / "cert.pem"), key_(place_ / "key.pem") {
        run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key_, "-out",
             certificate_, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"},
            place_, user::nobody);
        const std::string ports = std::to_string(plain_port_), tls = std::to_string(tls_port_);
        const std::string place = place_.path();
        std::string text = "daemon off; master_process off; pid " + place + "/nginx.pid; error_log " + place +
                           "/error.log;\n"
                           "events { worker_connections 1000; }\nhttp { access_log off; proxy_read_timeout 20s;\n";
        for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
            text += std::string(kind) + "_temp_path " + place + "/" + kind + ";\n";
        text += "server { listen 127.0.0.1:" + ports + "; listen 127.0.0.1:" + tls + " ssl;\n ssl_certificate " + certificate_ +
                "; ssl_certificate_key " + key_ + ";\n location / { proxy_pass http://127.0.0.1:" + std::to_string(slow_port_) + "; }\n" +
                " location /files/ { alias " + place + "/; } }\n}\n";
        const std::string file = place_.path() + "/nginx.conf";
        place_.write("nginx.conf", text);
        slow_ = std::make_unique<server>(words{CLIENTS_SLOW_SERVER, std::to_string(slow_port_)}, slow_port_, place_);
        server_ = std::make_unique<server>(words{"nginx", "-c", file, "-p", place, "-e", place + "/error.log"}, tls_port_, place_);
    }

    [[nodiscard]] std::string plain(const std::string& path, const std::string& host = "localhost") const {
        return "http://" + host + ":" + std::to_string(plain_port_) + path;
    }
    [[nodiscard]] std::string tls(const std::string& path, const std::string& host = "localhost") const {
        return "https://" + host + ":" + std::to_string(tls_port_) + path;
    }
    [[nodiscard]] std::uint16_t tls_port() const noexcept { return tls_port_; }
    [[nodiscard]] const std::string& certificate() const noexcept { return certificate_; }
    [[nodiscard]] const std::string& key() const noexcept { return key_; }
    [[nodiscard]] const directory& place() const noexcept { return place_; }
    [[nodiscard]] server& process() noexcept { return *server_; }
    /// Behind it: while this is stopped with SIGSTOP, no answer comes.
    [[nodiscard]] server& behind() noexcept { return *slow_; }

private:
    directory place_;
    std::string certificate_;
    std::string key_;
    std::uint16_t plain_port_ = free_port();
    std::uint16_t tls_port_ = free_port();
    std::uint16_t slow_port_ = free_port();
    std::unique_ptr<server> slow_;
    std::unique_ptr<server> server_;
};

/// What /big answers.
inline std::string big_text() {
    std::string text;
    for (int line = 0; text.size() < 10'000'000; ++line) text += "line " + std::to_string(line) + "\n";
    return text;
}

} // namespace clients_test
