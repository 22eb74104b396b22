// SPDX-License-Identifier: Apache-2.0
#pragma once

// Whose turn it is in a coroutine, without the types of what is passed.

#include <weft/deadline.hpp>
#include <weft/detail/fiber_api.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstdint>
#include <exception>

namespace weft::rt {

/// Made by who resumes; its body runs in a fiber of the hub that resumes it first. What is passed lies beside it, and belongs to the side
/// whose turn it is.
class WEFT_API coroutine_core {
public:
    coroutine_core() noexcept = default;
    coroutine_core(const coroutine_core&) = delete;
    coroutine_core& operator=(const coroutine_core&) = delete;

    // --- Who resumes ---

    /// Before a value is passed in: false if it has ended. Throws std::logic_error if it is running. True: the fiber is to be made, in
    /// `fresh`, or waits for `pass_in`.
    bool claim(bool& fresh);
    /// The value could not be passed in.
    void unclaim(bool fresh) noexcept;
    void started(fiber_ref f) noexcept { fiber_ = std::move(f); }
    /// Waits until the body has yielded or ended. True: yielded. Throws timeout_error past the deadline: it goes on without us.
    bool pass_in(deadline d);
    /// Throws what ended the body, if anything did.
    void check_end();
    [[nodiscard]] bool is_done() const noexcept;
    /// Ends the body by fiber_exit, and waits.
    void close() noexcept;

    // --- The body ---

    /// A value is there for who resumes. Waits for the next turn.
    void pass_out();
    void end(std::exception_ptr e) noexcept;

private:
    enum class turn : std::uint8_t {
        fresh,   // never resumed
        inside,  // the body runs, or will
        outside, // it has yielded
        done,
    };

    mutable spinlock lock_; // guards what follows
    turn turn_ = turn::fresh;
    bool closing_ = false;
    wait_list outside_; // in pass_in
    wait_list inside_;  // in pass_out
    std::exception_ptr exception_;
    fiber_ref fiber_;
};

} // namespace weft::rt
