// SPDX-License-Identifier: Apache-2.0
#pragma once

// Real servers for the time of a test: on free ports, in temporary directories, as an unprivileged user where they insist on it.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

namespace clients_test {

using words = std::vector<std::string>;

/// A port of 127.0.0.1 that nobody listens on. Somebody might before it is used; tests of one machine do not.
std::uint16_t free_port();

/// A directory that is gone with its object. Of user nobody where the tests run as root.
class directory {
public:
    directory();
    ~directory();
    directory(const directory&) = delete;
    directory& operator=(const directory&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    /// Writes a file in it that only its owner may read; returns its path.
    std::string write(const std::string& name, const std::string& text) const;

private:
    std::string path_;
};

/// Where a program is, also in the sbin directories; throws where it is not installed.
std::string find_program(const std::string& name);

/// Whom a program runs as. Only root has a choice.
enum class user { self, nobody };

/// A program that is killed with its object, or when the test's process ends, however that comes.
class program {
public:
    /// What it prints goes into `log`, a file.
    program(const words& command, const std::string& log, user who = user::self);
    ~program() { end(); }
    program(const program&) = delete;
    program& operator=(const program&) = delete;

    /// Whether it still runs.
    bool runs();
    /// Sends the signal and waits for its end, which it brings about after ten seconds.
    void end(int with_signal = 9);
    void signal(int number);

private:
    pid_t pid_ = -1;
};

/// Runs a program to its end; throws with its output if that is no success.
void run(const words& command, const directory& in, user who = user::self);

/// A server that listens on a port, and can be restarted on it. The constructor returns when it accepts.
class server {
public:
    server(words command, std::uint16_t port, const directory& in, user who = user::self);
    ~server() = default;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    void stop(int with_signal = 9);
    void start();
    void signal(int number);

private:
    words command_;
    std::uint16_t port_;
    std::string log_;
    user who_;
    std::unique_ptr<program> program_;
};

/// Polls until the condition holds; throws if it does not within 30 s.
void wait_until(const std::function<bool()>& condition, const std::string& what);

/// Whether something accepts on that port of 127.0.0.1.
bool accepts(std::uint16_t port);

} // namespace clients_test
