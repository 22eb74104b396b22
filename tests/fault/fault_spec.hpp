// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is to fail: WEFT_FAULT="read:3:EIO,epoll_ctl:1+:ENOMEM,sys.io_uring_setup:1+:EPERM". The third read fails, epoll_ctl
// always; `sys.` names a system call, which the kernel then refuses whoever makes it (so from the first on, always).

#include <cstddef>
#include <string_view>

namespace weft_fault {

struct fault {
    std::string_view name;
    unsigned long first = 0; // counted from 1
    bool always = false;     // that one and all that follow
    int error = 0;
    [[nodiscard]] bool is_system_call() const noexcept { return name.substr(0, 4) == "sys."; }
};

/// Takes the first fault out of the text. False: none is left, or what is left makes no sense, and then stays in `text`.
/// `number_of` says what number an errno's name stands for, 0 for none.
inline bool next_fault(std::string_view& text, fault& into, int (*number_of)(std::string_view)) noexcept {
    if (text.empty()) return false;
    const std::string_view one = text.substr(0, text.find(','));
    const std::size_t after_name = one.find(':');
    if (after_name == 0 || after_name == std::string_view::npos) return false;
    const std::size_t after_number = one.find(':', after_name + 1);
    if (after_number == std::string_view::npos) return false;
    fault f;
    f.name = one.substr(0, after_name);
    std::string_view number = one.substr(after_name + 1, after_number - after_name - 1);
    if (!number.empty() && number.back() == '+') {
        f.always = true;
        number.remove_suffix(1);
    }
    constexpr std::size_t most_digits = 9;
    if (number.empty() || number.size() > most_digits) return false;
    for (const char c : number) {
        if (c < '0' || c > '9') return false;
        f.first = f.first * 10 + static_cast<unsigned long>(c - '0');
    }
    f.error = number_of(one.substr(after_number + 1));
    if (f.first == 0 || f.error == 0 || (f.is_system_call() && (f.first != 1 || !f.always))) return false;
    text.remove_prefix(one.size() == text.size() ? one.size() : one.size() + 1);
    into = f;
    return true;
}

} // namespace weft_fault
