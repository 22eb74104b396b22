// SPDX-License-Identifier: Apache-2.0
// pthread_cancel and its kin for green threads. State and type are where libc has them, in its own word of the frame, since libc's functions
// change them too; only that somebody has cancelled the thread is noted elsewhere (core/cancel.hpp).
#include "core/cancel.hpp"

#include "core/serve.hpp"
#include "core/signal_nudge.hpp"
#include "core/signals.hpp"
#include "threads/exit.hpp"

#include "core/carrier.hpp"
#include "core/sys.hpp"
#include "core/thread_end.hpp"
#include "core/tls_frame.hpp"
#include <weft/export.hpp>

#include <csignal>

#include <ucontext.h>

extern "C" {
[[gnu::visibility("hidden"), noreturn]] void weft_end_now(); // from thread_entry.S
}

namespace weft::shim::cancel {

namespace {

using rt::tls_frame;

std::uint32_t word_of(const green_thread& t) noexcept {
    return std::atomic_ref(tls_frame::cancel_word(reinterpret_cast<char*>(t.id))).load(std::memory_order_acquire);
}

constexpr bool heeds(std::uint32_t word) noexcept { return (word & (tls_frame::cancel_disabled | tls_frame::thread_exiting)) == 0; }

bool is_asynchronous(std::uint32_t word) noexcept { return heeds(word) && (word & tls_frame::cancel_asynchronous) != 0; }

/// An exception specification would end the process when a thread is unwound.
template <class R, class... A>
constexpr bool is_noexcept(R (*)(A...) noexcept) { return true; }
template <class R, class... A>
constexpr bool is_noexcept(R (*)(A...)) { return false; }
template <class R, class... A>
constexpr bool is_noexcept(R (*)(A..., ...)) { return false; }
#define WEFT_POINT(name, kind) \
    static_assert(!is_noexcept(decltype(real_calls::name){}) || call::name == call::wait3 || call::name == call::wait4);
#include "core/cancel_points.def"
#undef WEFT_POINT

/// Whether the program itself runs here, and not weft, or a handler that weft called in the midst of a wait.
bool may_unwind() noexcept { return rt::this_thread_state.inside == 0 && rt::this_thread_state.may_end == 0; }

/// It has called pthread_exit already, in a handler.
bool has_begun_to_end() noexcept { return rt::this_thread_state.end_wanted.load(std::memory_order_relaxed) == rt::end_begun; }

[[noreturn]] void end_here() {
    rt::this_thread_state.broken_off = 0;
    if (has_begun_to_end()) {
        rt::this_thread_state.end_wanted.store(0, std::memory_order_relaxed);
        ending::go_on(*green::self());
    }
    ending::leave(*green::self(), PTHREAD_CANCELED);
}

/// With the asynchronous type, a request is heeded in any call that may change something about it.
void at_change() {
    if (rt::this_thread_state.end_wanted.load(std::memory_order_relaxed) == 0 || !may_unwind()) return;
    if (is_asynchronous(word_of(*green::self()))) end_here();
}

// --- A thread that computes on another kernel thread ---

constinit char marker = 0; // what the signal by which it is told carries along

/// On whatever runs there now.
bool take_signal(const siginfo_t& info, void* context) noexcept {
    if (info.si_code != SI_QUEUE || info.si_value.sival_ptr != &marker) return false;
    const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
    const rt::thread_state& here = rt::this_thread_state;
    if (green::self() == nullptr || here.end_wanted.load(std::memory_order_relaxed) != rt::end_requested) return true;
    if (rt::carrier_state().within || !may_unwind() || signals::is_weft(static_cast<std::uintptr_t>(registers[REG_RIP]))) return true;
    if (is_asynchronous(word_of(*green::self()))) ending::end_interrupted(context);
    return true;
}

void interrupt(const green_thread& t) noexcept {
    signals::share_signal(take_signal);
    siginfo_t info{};
    info.si_code = SI_QUEUE;
    info.si_value.sival_ptr = &marker;
    // It may be in weft just now, where it is not ended, and leave without looking.
    constexpr int most_tries = 20;
    for (int i = 0; i < most_tries && is_asynchronous(word_of(t)) && t.fiber->now() == rt::fiber_state::running; ++i) {
        signals::send_shared(rt::kernel_thread_of(*t.fiber), info, true);
        rt::sys::sched_yield();
    }
}

int request(pthread_t id) {
    green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_cancel(id);
    if (std::atomic_ref(t->life).load(std::memory_order_acquire) == green_thread::ended) return 0;
    std::uint8_t nothing = 0;
    if (!tls_frame::state_of(reinterpret_cast<char*>(id)).end_wanted.compare_exchange_strong(nothing, rt::end_requested)) return 0;
    const std::uint32_t word = word_of(*t);
    if (t == green::self()) at_change();
    else if (heeds(word)) t->fiber->rouse();
    if (t != green::self() && is_asynchronous(word) && t->fiber->now() == rt::fiber_state::running) interrupt(*t);
    return 0;
}

void test() {
    if (green::self() == nullptr) real().pthread_testcancel();
    else if (rt::this_thread_state.end_wanted.load(std::memory_order_relaxed) != 0) at_entry();
}

int set_state(int state, int* old) {
    const int error = real().pthread_setcancelstate(state, old);
    at_change();
    return error;
}

int set_type(int type, int* old) {
    const int error = real().pthread_setcanceltype(type, old);
    at_change();
    return error;
}

} // namespace

void at_entry() {
    if (may_unwind() && (has_begun_to_end() || heeds(word_of(*green::self())))) end_here();
}

void at_return(bool has_done_something) {
    if (!may_unwind()) return;
    if (has_begun_to_end()) end_here();
    const bool broken_off = rt::this_thread_state.broken_off != 0;
    rt::this_thread_state.broken_off = 0;
    const std::uint32_t word = word_of(*green::self());
    if ((broken_off && !has_done_something && heeds(word)) || is_asynchronous(word)) end_here();
}

} // namespace weft::shim::cancel

void weft_end_now() { weft::shim::cancel::end_here(); }

using weft::shim::call;
using weft::shim::serve_thread;
namespace policy = weft::shim::cancel;

extern "C" {

WEFT_API int pthread_cancel(pthread_t id) { return serve_thread<call::pthread_cancel>(policy::request, id); }
WEFT_API void pthread_testcancel() { serve_thread<call::pthread_testcancel>(policy::test); }
WEFT_API int pthread_setcancelstate(int state, int* old) { return serve_thread<call::pthread_setcancelstate>(policy::set_state, state, old); }
WEFT_API int pthread_setcanceltype(int type, int* old) { return serve_thread<call::pthread_setcanceltype>(policy::set_type, type, old); }

} // extern "C"
