// SPDX-License-Identifier: Apache-2.0
#pragma once

// The switch (invariant 1): the one place that changes stacks. It alone knows Boost.Context, the sanitizers' annotations,
// the C++ exception globals and, later, TLS frames.

#include <weft/export.hpp>

#include <cstddef>

namespace weft::rt {

/// A suspended execution: a stack and where it stands on it.
///
/// Kept per context: callee-saved registers and the FP control words (by Boost), errno (on the suspended stack), the C++
/// exception globals (here). A context is switched to by one kernel thread at a time.
class context {
public:
    using entry_function = void (*)(void* argument) noexcept;

    /// The calling thread's own stack.
    context() noexcept;
    /// A new stack of `size` bytes from `base`, its first run is `entry(argument)`, which must never return.
    context(void* base, std::size_t size, entry_function entry, void* argument) noexcept;
    context(const context&) = delete;
    context& operator=(const context&) = delete;
    ~context();

    /// Suspends `from`, the running one, and resumes `to`. Returns when somebody switches back to `from`.
    static void switch_to(context& from, context& to) noexcept;
    /// The last switch of `from`: it is never resumed.
    [[noreturn]] static void leave(context& from, context& to) noexcept;

    /// The stack's lowest address and size; null and 0 for a thread's own stack where no sanitizer wanted it.
    [[nodiscard]] const void* stack_base() const noexcept { return base_; }
    [[nodiscard]] std::size_t stack_size() const noexcept { return size_; }

private:
    struct boot;

    void* machine_ = nullptr;     // Boost's fcontext_t; valid while suspended
    void* caught_ = nullptr;      // __cxa_eh_globals::caughtExceptions; valid while suspended
    unsigned uncaught_ = 0;       // __cxa_eh_globals::uncaughtExceptions; valid while suspended
    const void* base_ = nullptr;
    std::size_t size_ = 0;
    context* target_ = nullptr;   // where the last switch from here went; the first run of a context finds itself so
    entry_function entry_ = nullptr;
    void* argument_ = nullptr;
    void* sanitizer_ = nullptr;   // ASan: saved fake stack; TSan: the fiber
    bool owns_sanitizer_ = false; // TSan: made by us, so destroyed by us
};

} // namespace weft::rt
