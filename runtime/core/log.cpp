// SPDX-License-Identifier: Apache-2.0
#include "core/log.hpp"

#include "core/sys.hpp"

#include <cstdlib>
#include <cstring>

namespace weft::rt {

log_line::log_line() noexcept { *this << "weft: "; }

log_line& log_line::operator<<(std::string_view text) noexcept {
    const std::size_t room = capacity - 1 - size_;
    const std::size_t n = text.size() < room ? text.size() : room;
    std::memcpy(text_ + size_, text.data(), n);
    size_ += n;
    return *this;
}

log_line& log_line::operator<<(std::uint64_t n) noexcept {
    char digits[20];
    char* p = digits + sizeof digits;
    do *--p = static_cast<char>('0' + n % 10);
    while ((n /= 10) != 0);
    return *this << std::string_view(p, static_cast<std::size_t>(digits + sizeof digits - p));
}

log_line& log_line::operator<<(std::int64_t n) noexcept {
    if (n >= 0) return *this << static_cast<std::uint64_t>(n);
    return *this << "-" << (~static_cast<std::uint64_t>(n) + 1);
}

log_line& log_line::operator<<(const void* p) noexcept {
    auto n = reinterpret_cast<std::uintptr_t>(p);
    char digits[16];
    char* d = digits + sizeof digits;
    do *--d = "0123456789abcdef"[n % 16];
    while ((n /= 16) != 0);
    return *this << "0x" << std::string_view(d, static_cast<std::size_t>(digits + sizeof digits - d));
}

void log_line::write() noexcept {
    text_[size_++] = '\n';
    sys::call(SYS_write, 2, sys::arg(text_), static_cast<long>(size_));
    size_ = 0;
}

void check_failed(const char* condition, const char* file, int line) noexcept {
    log_line out;
    out << "invariant broken: " << condition << " at " << file << ":" << line;
    out.write();
    std::abort();
}

} // namespace weft::rt
