// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/hand_off.hpp>
#include <weft/detail/result_core.hpp>
#include <weft/errors.hpp>

namespace weft::rt {

bool result_core::claim() noexcept {
    const std::lock_guard hold(lock_);
    if (status_ != status::pending) return false;
    status_ = status::setting;
    return true;
}

void result_core::unclaim() noexcept {
    const std::lock_guard hold(lock_);
    status_ = status::pending;
}

void result_core::publish(std::exception_ptr e) noexcept {
    const std::lock_guard hold(lock_);
    status_ = e == nullptr ? status::value : status::exception;
    exception_.swap(e); // it was null
    waiting_.wake_all();
}

bool result_core::fail(std::exception_ptr e, status how) noexcept {
    const std::lock_guard hold(lock_);
    if (status_ != status::pending) return false;
    exception_.swap(e); // it was null
    status_ = how;
    waiting_.wake_all();
    return true;
}

bool result_core::wait(deadline d) {
    return take_or_wait(lock_, waiting_, "a result", this, d, [this] { return status_ > status::setting; });
}

result_core::status result_core::state() const noexcept {
    const std::lock_guard hold(lock_);
    return status_;
}

std::exception_ptr result_core::exception() const noexcept {
    const std::lock_guard hold(lock_);
    return exception_; // counted, not copied
}

void result_core::check() const {
    switch (state()) {
    case status::value: return;
    case status::exception: std::rethrow_exception(exception());
    case status::cancelled: throw fiber_killed("the result was cancelled");
    case status::pending:
    case status::setting: throw timeout_error("there is no result yet");
    }
}

constexpr watch_operations result_core::watching{
    [](void* object, wait_node& n) noexcept {
        auto& self = *static_cast<result_core*>(object);
        const std::lock_guard hold(self.lock_);
        if (self.status_ > status::setting) return false;
        self.waiting_.push(n);
        return true;
    },
    [](void* object, wait_node& n) noexcept {
        const std::lock_guard hold(static_cast<result_core*>(object)->lock_);
        wait_list::remove(n);
    }};

} // namespace weft::rt
