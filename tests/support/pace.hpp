// SPDX-License-Identifier: Apache-2.0
#pragma once

// For tests of what comes first by the clock. Their times are short, and a busy machine may stop a program for longer between any two
// lines.

#include <chrono>
#include <source_location>

namespace test_support {

/// What such a test is given: its times are multiples of ms(1), and check() takes the place of CHECK.
class pace {
public:
    explicit pace(int slowness) noexcept : slowness_(slowness) {}
    [[nodiscard]] std::chrono::milliseconds ms(int n) const noexcept { return std::chrono::milliseconds(n) * slowness_; }
    /// Says whether it holds, for what must not go on otherwise.
    bool check(bool ok, std::source_location at = std::source_location::current()) noexcept {
        if (!ok && wrong_ == 0) wrong_ = at.line();
        return ok;
    }
    [[nodiscard]] unsigned wrong() const noexcept { return wrong_; }

private:
    int slowness_;
    unsigned wrong_ = 0;
};

/// Runs `body` and, if something in it did not hold, again with all times ten and a hundred times as long: only a machine that is late
/// for all of them, or what is wrong in itself, fails each time. The line that did not hold at last, or 0:
/// `CHECK(wrong_at_any_pace([](pace& p) { … }) == 0)`.
template <class F>
unsigned wrong_at_any_pace(F body) {
    unsigned wrong = 0;
    for (const int slowness : {1, 10, 100}) {
        pace p(slowness);
        body(p);
        wrong = p.wrong();
        if (wrong == 0) break;
    }
    return wrong;
}

} // namespace test_support
