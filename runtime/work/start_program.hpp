// SPDX-License-Identifier: Apache-2.0
#pragma once

// Starting a program, with descriptors, directory, environment, signals and rights as the options say.

#include <weft/subprocess.hpp>

namespace weft::rt {

/// A descriptor that is closed at the end of the scope.
class owned_fd {
public:
    explicit owned_fd(int fd = -1) noexcept : fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept : fd_(other.release()) {}
    owned_fd& operator=(owned_fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~owned_fd() { reset(); }
    [[nodiscard]] int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }
    void reset(int fd = -1) noexcept;

private:
    int fd_;
};

/// A program that was started, and our ends of its pipes.
struct started_program {
    pid_t pid = -1;
    owned_fd pidfd;
    owned_fd ends[3];
};

/// Throws std::system_error with the errno of what failed, exec included.
started_program start_program(const std::vector<std::string>& args, const popen_options& options);

/// Above the standard descriptors, close-on-exec. Takes over `fd`, which may be -1 (with errno): then it throws.
owned_fd above_standard(int fd, const char* what);

} // namespace weft::rt
