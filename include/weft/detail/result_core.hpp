// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an async_result is without its type: a state that leaves `pending` once, who waits for that, and the exception.

#include <weft/deadline.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstdint>
#include <exception>

namespace weft::rt {

class WEFT_API result_core {
public:
    enum class status : std::uint8_t {
        pending,   // nothing yet
        setting,   // somebody stores the value now; counts as pending for all others
        value,     // the value may be read
        exception, // failed: `exception()`
        cancelled, // nobody wants it any more
    };

    result_core() noexcept = default;
    result_core(const result_core&) = delete;
    result_core& operator=(const result_core&) = delete;

    /// From pending to setting: the caller, and nobody else, may store the value. False: it is too late for that.
    bool claim() noexcept;
    /// From setting back to pending, as storing the value threw.
    void unclaim() noexcept;
    /// From setting to value, or to exception if there is one; wakes all.
    void publish(std::exception_ptr e = nullptr) noexcept;
    /// From pending to exception or cancelled. False: it is too late for that.
    bool fail(std::exception_ptr e, status how = status::exception) noexcept;

    /// False: the deadline came first.
    bool wait(deadline d);
    [[nodiscard]] status state() const noexcept;
    [[nodiscard]] bool ready() const noexcept { return state() > status::setting; }
    [[nodiscard]] std::exception_ptr exception() const noexcept;
    /// Throws unless there is a value: timeout_error, the exception, fiber_killed if it was cancelled.
    void check() const;

    static const rt::watch_operations watching;

private:
    mutable spinlock lock_;
    status status_ = status::pending;
    wait_list waiting_;
    std::exception_ptr exception_;
};

} // namespace weft::rt
