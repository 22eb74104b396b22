// SPDX-License-Identifier: Apache-2.0
// Making and joining threads, under the names of libc.
#include "core/init.hpp"
#include "core/serve.hpp"
#include "threads/green.hpp"
#include "threads/scheduling.hpp"

#include <weft/export.hpp>

#include <threads.h>
#include <unistd.h>

namespace weft::shim::green {

namespace {

/// Also by a constructor that runs before the shim's.
bool may_be_made() noexcept {
    if (environ != nullptr) initialise();
    return wanted();
}

int create_thread(pthread_t* out, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    return may_be_made() ? create(out, attributes, start, argument) : real().pthread_create(out, attributes, start, argument);
}

/// C11's function has another type; the argument carries both.
struct c11_start {
    thrd_start_t function;
    void* argument;
};

void* run_c11(void* p) {
    const c11_start s = *static_cast<c11_start*>(p);
    delete static_cast<c11_start*>(p);
    return reinterpret_cast<void*>(static_cast<std::intptr_t>(s.function(s.argument)));
}

int create_c11(thrd_t* out, thrd_start_t function, void* argument) {
    if (!may_be_made()) return real().thrd_create(out, function, argument);
    auto* const s = new (std::nothrow) c11_start{function, argument};
    if (s == nullptr) return thrd_nomem;
    const int error = create(out, nullptr, run_c11, s);
    if (error == 0) return thrd_success;
    delete s;
    return error == ENOMEM ? thrd_nomem : thrd_error;
}

int detach_thread(pthread_t id) noexcept {
    green_thread* const t = of(id);
    return t == nullptr ? real().pthread_detach(id) : detach(*t);
}

int detach_c11(thrd_t id) noexcept { return detach_thread(id) == 0 ? thrd_success : thrd_error; }

int try_join_thread(pthread_t id, void** result) noexcept {
    green_thread* const t = of(id);
    return t == nullptr ? real().pthread_tryjoin_np(id, result) : try_join(*t, result);
}

/// As the thread has it: the bounds of its stack are those of what it asked for.
int attributes_of(pthread_t id, pthread_attr_t* out) {
    const green_thread* const t = of(id);
    if (t == nullptr || t->stack_size == 0) return real().pthread_getattr_np(id, out);
    ::pthread_attr_init(out);
    ::pthread_attr_setdetachstate(out, t->detached.load(std::memory_order_relaxed) ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    ::pthread_attr_setguardsize(out, t->guard_size);
    ::pthread_attr_setinheritsched(out, t->inherits_scheduling ? PTHREAD_INHERIT_SCHED : PTHREAD_EXPLICIT_SCHED);
    sched::describe(*t, out);
    ::pthread_attr_setstack(out, t->stack_low, t->stack_size);
    return 0;
}

} // namespace

} // namespace weft::shim::green

using weft::shim::call;
using weft::shim::serve_thread;
namespace policy = weft::shim::green;

extern "C" {

WEFT_API int pthread_create(pthread_t* out, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    return serve_thread<call::pthread_create>(policy::create_thread, out, attributes, start, argument);
}
WEFT_API int thrd_create(thrd_t* out, thrd_start_t function, void* argument) {
    return serve_thread<call::thrd_create>(policy::create_c11, out, function, argument);
}
WEFT_API int pthread_detach(pthread_t id) { return serve_thread<call::pthread_detach>(policy::detach_thread, id); }
WEFT_API int thrd_detach(thrd_t id) { return serve_thread<call::thrd_detach>(policy::detach_c11, id); }
WEFT_API int pthread_tryjoin_np(pthread_t id, void** result) {
    return serve_thread<call::pthread_tryjoin_np>(policy::try_join_thread, id, result);
}
WEFT_API int pthread_getattr_np(pthread_t id, pthread_attr_t* out) {
    return serve_thread<call::pthread_getattr_np>(policy::attributes_of, id, out);
}

} // extern "C"
