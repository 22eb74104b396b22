// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/coroutine_core.hpp>
#include <weft/detail/hand_off.hpp>
#include <weft/errors.hpp>

#include "core/set_aside.hpp"

#include <stdexcept>
#include <utility>

namespace weft::rt {

bool coroutine_core::claim(bool& fresh) {
    bool running = false;
    {
        const std::lock_guard hold(lock_);
        if (turn_ == turn::done) return false;
        fresh = turn_ == turn::fresh;
        running = std::exchange(turn_, turn::inside) == turn::inside;
    }
    if (running) throw std::logic_error("weft: a coroutine was resumed while it runs");
    return true;
}

void coroutine_core::unclaim(bool fresh) noexcept {
    const std::lock_guard hold(lock_);
    turn_ = fresh ? turn::fresh : turn::outside;
}

bool coroutine_core::pass_in(deadline d) {
    {
        const std::lock_guard hold(lock_);
        inside_.wake_one();
    }
    const bool back = take_or_wait(lock_, outside_, "a coroutine", this, d, [this] { return turn_ != turn::inside; });
    if (!back) throw timeout_error("the coroutine has not yielded by the deadline");
    return !is_done();
}

void coroutine_core::check_end() {
    if (exception_ != nullptr) std::rethrow_exception(std::exchange(exception_, nullptr));
}

bool coroutine_core::is_done() const noexcept {
    const std::lock_guard hold(lock_);
    return turn_ == turn::done;
}

void coroutine_core::close() noexcept {
    if (fiber_.get() == nullptr) return;
    {
        const std::lock_guard hold(lock_);
        closing_ = true;
    }
    if (fiber_.get() == this_thread_state.running) return; // its own body destroys it: it cannot wait for itself
    const no_interruption to_the_end;
    if (!is_ready(fiber_.get())) kill_fiber(fiber_.get(), nullptr, {});
}

void coroutine_core::pass_out() {
    {
        const std::lock_guard hold(lock_);
        if (!closing_) turn_ = turn::outside;
        outside_.wake_one();
    }
    {
        const set_aside until_then; // only who has the coroutine can go on with it
        take_or_wait(lock_, inside_, "the next resume of a coroutine", this, {}, [this] { return turn_ == turn::inside || closing_; });
    }
    bool closing = false;
    {
        const std::lock_guard hold(lock_);
        closing = closing_;
    }
    if (closing) throw fiber_exit(); // it caught the first: nobody is left to yield to
}

void coroutine_core::end(std::exception_ptr e) noexcept {
    const std::lock_guard hold(lock_);
    exception_.swap(e); // it was null
    turn_ = turn::done;
    outside_.wake_all();
}

} // namespace weft::rt
