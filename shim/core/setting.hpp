// SPDX-License-Identifier: Apache-2.0
#pragma once

// One setting of a descriptor, remembered until this process changes it. Who asks the kernel may be overtaken by who changes the setting on
// another kernel thread; so what it learned counts only if nothing was changed since it began to ask.

#include <atomic>
#include <cstdint>

namespace weft::shim {

class setting {
public:
    /// The value, from `ask()` where it is not known. One that is negative or does not fit is not remembered.
    template <class Ask>
    std::int64_t get(Ask ask) noexcept {
        std::uint64_t word = word_.load(std::memory_order_acquire);
        if ((word & known) != 0) return static_cast<std::int64_t>(word >> value_shift);
        const std::int64_t value = ask();
        if (value >= 0 && value >> (64 - value_shift) == 0)
            word_.compare_exchange_strong(word, (word & changes) | known | static_cast<std::uint64_t>(value) << value_shift,
                                          std::memory_order_acq_rel, std::memory_order_relaxed);
        return value;
    }
    /// It has been changed.
    void forget() noexcept {
        std::uint64_t word = word_.load(std::memory_order_relaxed);
        while (!word_.compare_exchange_weak(word, (word + one_change) & changes, std::memory_order_acq_rel, std::memory_order_relaxed)) {}
    }

private:
    // The value, how often it was changed, and whether it is known.
    static constexpr unsigned value_shift = 16;
    static constexpr std::uint64_t known = 1, one_change = 2, changes = 0xfffe;

    std::atomic<std::uint64_t> word_{0};
};

} // namespace weft::shim
