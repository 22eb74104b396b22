// SPDX-License-Identifier: Apache-2.0
#pragma once

// What libc keeps in frames that nobody uses, put aside: the words that are not zero, of its block of variables and of the descriptor.

#include "core/tls_layout.hpp"

#include <cstddef>
#include <cstdint>

namespace weft::rt {

class frame_states {
public:
    constexpr frame_states() noexcept = default;

    /// Room for so many frames' and for what is left of these. False: no memory.
    bool begin(const tls_layout& layout, std::size_t frames, frame_states& rest) noexcept;
    void add(const tls_layout& layout, const char* pointer) noexcept;
    void finish(frame_states& rest) noexcept;

    /// Into a frame whose memory is zero, in the order in which they were added.
    void take(char* pointer) noexcept;

private:
    [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - next_); }
    void release() noexcept;

    std::uint64_t* memory_ = nullptr;
    std::size_t bytes_ = 0;
    std::uint64_t* next_ = nullptr; // the first that has not been taken
    std::uint64_t* end_ = nullptr;
};

} // namespace weft::rt
