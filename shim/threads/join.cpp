// SPDX-License-Identifier: Apache-2.0
#include "threads/join.hpp"

#include "core/serve.hpp"
#include "threads/green.hpp"
#include "threads/limit.hpp"

#include "work/kernel_call.hpp"
#include <weft/export.hpp>

#include <cerrno>

namespace weft::shim::join {

namespace {

/// libc's own call, made where it may wait. A thread that has ended already is joined here, and so is one that libc is to refuse.
template <class F>
int join_by(pthread_t thread, void** result, F call) {
    if (::pthread_equal(thread, ::pthread_self()) != 0) return call();
    if (const int at_once = ::pthread_tryjoin_np(thread, result); at_once != EBUSY) return at_once;
    const int saved_errno = errno;
    const int ended = rt::on_kernel_thread(call, rt::unbroken);
    errno = saved_errno;
    return ended >= 0 ? ended : call(); // no helper could be made
}

} // namespace

int wait(pthread_t thread, void** result) {
    if (green_thread* t = green::of(thread)) return green::join(*t, result, CLOCK_REALTIME, nullptr);
    return join_by(thread, result, [=]() { return real().pthread_join(thread, result); });
}

int timed(pthread_t thread, void** result, const timespec* at) {
    if (green_thread* t = green::of(thread)) return green::join(*t, result, CLOCK_REALTIME, at);
    return join_by(thread, result, [=]() { return real().pthread_timedjoin_np(thread, result, at); });
}

int clocked(pthread_t thread, void** result, clockid_t clock, const timespec* at) {
    if (green_thread* t = green::of(thread)) return limit::knows(clock) ? green::join(*t, result, clock, at) : EINVAL;
    return join_by(thread, result, [=]() { return real().pthread_clockjoin_np(thread, result, clock, at); });
}

int c11(thrd_t thread, int* result) {
    void* value = nullptr;
    if (wait(thread, &value) != 0) return thrd_error;
    if (result != nullptr) *result = static_cast<int>(reinterpret_cast<std::intptr_t>(value));
    return thrd_success;
}

namespace {

// Where there is no fiber, a green thread is joined all the same.
int wait_off(pthread_t thread, void** result) {
    return green::of(thread) != nullptr ? wait(thread, result) : real().pthread_join(thread, result);
}
int timed_off(pthread_t thread, void** result, const timespec* at) {
    return green::of(thread) != nullptr ? timed(thread, result, at) : real().pthread_timedjoin_np(thread, result, at);
}
int clocked_off(pthread_t thread, void** result, clockid_t clock, const timespec* at) {
    return green::of(thread) != nullptr ? clocked(thread, result, clock, at) : real().pthread_clockjoin_np(thread, result, clock, at);
}
int c11_off(thrd_t thread, int* result) { return green::of(thread) != nullptr ? c11(thread, result) : real().thrd_join(thread, result); }

} // namespace

} // namespace weft::shim::join

using weft::shim::call;
using weft::shim::serve_or;
namespace policy = weft::shim::join;

extern "C" {

WEFT_API int pthread_join(pthread_t thread, void** result) {
    return serve_or<call::pthread_join>(policy::wait, policy::wait_off, thread, result);
}
WEFT_API int pthread_timedjoin_np(pthread_t thread, void** result, const timespec* at) {
    return serve_or<call::pthread_timedjoin_np>(policy::timed, policy::timed_off, thread, result, at);
}
WEFT_API int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const timespec* at) {
    return serve_or<call::pthread_clockjoin_np>(policy::clocked, policy::clocked_off, thread, result, clock, at);
}
WEFT_API int thrd_join(thrd_t thread, int* result) { return serve_or<call::thrd_join>(policy::c11, policy::c11_off, thread, result); }

} // extern "C"
