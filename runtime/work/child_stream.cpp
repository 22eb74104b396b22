// SPDX-License-Identifier: Apache-2.0
#include <weft/subprocess.hpp>

#include "work/descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace weft {

namespace {

[[noreturn]] void fail(int error, const char* what) { throw std::system_error(error, std::generic_category(), what); }

constexpr const char* nothing = "the program has not written all that is to be read";
constexpr std::size_t chunk = 65536; // what a pipe holds

} // namespace

/// One attempt to read on: as rt::read_now's.
long child_stream::fill_now() noexcept {
    const std::size_t had = ahead_.size();
    // A string that grows is copied: let it be rarely.
    try {
        if (ahead_.capacity() - had < chunk) ahead_.reserve(std::max(had * 2, had + chunk));
        ahead_.resize(had + chunk);
    } catch (const std::exception&) {
        return -ENOMEM;
    }
    const long n = rt::read_now(fd_, ahead_.data() + had, chunk);
    ahead_.resize(had + static_cast<std::size_t>(std::max(n, 0L)));
    at_end_ |= n == 0;
    return n;
}

/// Waits until there is more. False: the end.
bool child_stream::fill(deadline d) {
    if (fd_ < 0 && !at_end_) fail(EBADF, "weft: reading from a program");
    while (!at_end_) {
        rt::interruption_point();
        const long n = fill_now();
        if (n > 0) return true;
        if (n == -EAGAIN) {
            if (!rt::await_one(fd_, POLLIN, d)) throw timeout_error(nothing);
        } else if (n < 0) {
            fail(static_cast<int>(-n), "weft: reading from a program");
        }
    }
    return false;
}

std::string child_stream::take(std::size_t n) {
    if (n >= ahead_.size()) return std::exchange(ahead_, {});
    std::string taken = ahead_.substr(0, n);
    ahead_.erase(0, n);
    return taken;
}

std::string child_stream::read(std::size_t most, deadline d) {
    for (rt::fair_rounds rounds; ahead_.size() < most && fill(d); rounds.next())
        if (rounds.too_late(d)) throw timeout_error(nothing);
    return take(most);
}

std::string child_stream::read_some(std::size_t most, deadline d) {
    if (ahead_.empty() && most != 0) fill(d);
    return take(most);
}

std::string child_stream::read_line(deadline d) {
    std::size_t looked = 0;
    for (rt::fair_rounds rounds;; rounds.next()) {
        const std::size_t end = ahead_.find('\n', looked);
        if (end != ahead_.npos) return take(end + 1);
        looked = ahead_.size();
        if (rounds.too_late(d)) throw timeout_error(nothing);
        if (!fill(d)) return take(looked);
    }
}

void child_stream::write(std::string_view bytes, deadline d) {
    for (rt::fair_rounds rounds; !bytes.empty(); rounds.next()) {
        if (fd_ < 0) fail(EBADF, "weft: writing to a program");
        rt::interruption_point();
        const long n = rt::write_now(fd_, bytes.data(), bytes.size());
        if (n >= 0) bytes.remove_prefix(static_cast<std::size_t>(n));
        else if (n != -EAGAIN) fail(static_cast<int>(-n), "weft: writing to a program");
        else if (rounds.too_late(d) || !rt::await_one(fd_, POLLOUT, d)) throw timeout_error("the program does not read");
    }
}

void child_stream::close() noexcept { rt::close_awaited(fd_); }

} // namespace weft
