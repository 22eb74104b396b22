// SPDX-License-Identifier: Apache-2.0
#pragma once

// Messages and invariant checks that work anywhere: in a signal handler, before main, on a nearly full stack. They
// write(2) to stderr in one piece, allocate nothing and keep errno.

#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weft::rt {

/// A line under construction in a fixed buffer; what does not fit is cut.
class WEFT_API log_line {
public:
    log_line() noexcept;
    log_line& operator<<(std::string_view text) noexcept;
    log_line& operator<<(const char* text) noexcept { return *this << std::string_view(text ? text : "(null)"); }
    log_line& operator<<(std::uint64_t n) noexcept;
    log_line& operator<<(std::int64_t n) noexcept;
    log_line& operator<<(int n) noexcept { return *this << static_cast<std::int64_t>(n); }
    log_line& operator<<(unsigned n) noexcept { return *this << static_cast<std::uint64_t>(n); }
    log_line& operator<<(const void* p) noexcept;
    /// Ends the line and writes it to stderr.
    void write() noexcept;

private:
    static constexpr std::size_t capacity = 512;
    std::size_t size_ = 0;
    char text_[capacity];
};

[[noreturn]] WEFT_API void check_failed(const char* condition, const char* file, int line) noexcept;

} // namespace weft::rt

/// An invariant, checked in every build.
#define WEFT_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0)) ::weft::rt::check_failed(#condition, __FILE__, __LINE__);               \
    } while (false)
