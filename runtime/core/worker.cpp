// SPDX-License-Identifier: Apache-2.0
// Hubs on kernel threads of weft's own. Such a thread does nothing but carry hubs: its own stack is where it waits as a spare, once its hub was taken over, and the
// hub's main fiber never runs.
#include "core/carrier.hpp"
#include "core/carrier_thread.hpp"
#include "core/overflow.hpp"
#include "core/own_thread.hpp"

#include <new>

#include <pthread.h>

namespace weft::rt {

int kernel_thread_of(const fiber_core& f) noexcept {
    if (f.is_lost()) return 0;
    thread_state& frame = f.machine.frame();
    const thread_state* const carrier = frame.carrier == nullptr ? &frame : frame.carrier;
    return carrier->self == nullptr ? f.owner->carrier_tid() : carrier->self->tid(); // without one its hub was never taken from it
}

void carrier::begin_with(hub& h) noexcept {
    former_tid_ = tid_;
    run(h);
    be_spare();
}

bool make_own_thread(void* (*function)(void*) noexcept, void* argument) noexcept {
    const inside_weft inside;
    const std::uint64_t all = ~(std::uint64_t{3} << 31); // but for libc's own two
    std::uint64_t before = 0;
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), sizeof all);
    pthread_attr_t a;
    ::pthread_attr_init(&a);
    ::pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    ::pthread_attr_setstacksize(&a, 256 * 1024);
    pthread_t thread{};
    own_thread_begins();
    const int error = make_kernel_thread(&thread, &a, function, argument);
    if (error != 0) own_thread_failed();
    ::pthread_attr_destroy(&a);
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, sizeof before);
    return error == 0;
}

namespace watchdog {

namespace {

struct worker_room {
    void* memory = ::operator new(sizeof(carrier), std::nothrow);
    hub* made = nullptr;
    std::uint32_t ready = 0; // a futex: 1, made; 2, it could not be
};

/// Counted by its hub, not as a helper.
void* worker_main(void* p) noexcept {
    this_thread_state.inside = 1;
    this_thread_state.within = true; // before anybody hears of its hub: until it runs that, nobody else may
    install_overflow_report(false);
    name_own_thread("weft-worker");
    auto& room = *static_cast<worker_room*>(p);
    std::uint32_t& ready = room.ready;
    const auto answer = [&](std::uint32_t a) noexcept {
        std::atomic_ref(ready).store(a, std::memory_order_release);
        futex_wake(ready); // of a stack that may be gone: it only wakes
    };
    hub* h = nullptr;
    try {
        h = new hub();
    } catch (const std::exception&) {
        answer(2);
        return nullptr;
    }
    auto* const c = ::new (room.memory) carrier(this_thread_state);
    this_thread_state.self = c;
    remember(*c);
    this_thread_state.selector = 0; // as for every hub's loop
    h->retire_main();
    room.made = h;
    answer(1);
    c->begin_with(*h);
}

} // namespace

hub* make_worker() noexcept {
    const inside_weft inside;
    worker_room room;
    if (room.memory == nullptr) return nullptr;
    if (make_own_thread(worker_main, &room)) {
        while (std::atomic_ref(room.ready).load(std::memory_order_acquire) == 0) futex_wait(room.ready, 0);
        if (room.ready == 1) return room.made;
    }
    ::operator delete(room.memory);
    return nullptr;
}

} // namespace watchdog

} // namespace weft::rt
