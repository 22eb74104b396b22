// SPDX-License-Identifier: Apache-2.0
// How threads are scheduled, under the names of libc: the system calls' results in libc's way.
#include "core/serve.hpp"
#include "threads/scheduling.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"
#include <weft/export.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/resource.h>

namespace weft::shim::sched {

namespace {

template <class... A>
long by(long number, A... a) noexcept {
    long all[4] = {};
    std::size_t n = 0;
    ((all[n++] = static_cast<long>(a)), ...);
    return call(number, all[0], all[1], all[2], all[3]);
}

int libc(long result) noexcept {
    if (result >= 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}

int get_affinity(pid_t who, std::size_t size, cpu_set_t* out) noexcept {
    const long bytes = by(SYS_sched_getaffinity, who, std::min<std::size_t>(size, INT32_MAX), rt::sys::arg(out));
    if (bytes < 0) return libc(bytes);
    std::memset(reinterpret_cast<char*>(out) + bytes, 0, size - static_cast<std::size_t>(bytes));
    return 0;
}
int set_affinity(pid_t who, std::size_t size, const cpu_set_t* set) noexcept {
    return libc(by(SYS_sched_setaffinity, who, size, rt::sys::arg(set)));
}
int get_scheduler(pid_t who) noexcept { return libc(by(SYS_sched_getscheduler, who)); }
int set_scheduler(pid_t who, int policy, const sched_param* p) noexcept {
    return libc(by(SYS_sched_setscheduler, who, policy, rt::sys::arg(p)));
}
int get_param(pid_t who, sched_param* p) noexcept { return libc(by(SYS_sched_getparam, who, rt::sys::arg(p))); }
int set_param(pid_t who, const sched_param* p) noexcept { return libc(by(SYS_sched_setparam, who, rt::sys::arg(p))); }
int rr_interval(pid_t who, timespec* t) noexcept { return libc(by(SYS_sched_rr_get_interval, who, rt::sys::arg(t))); }

int get_priority(int which, id_t who) noexcept {
    const long result = by(SYS_getpriority, which, who);
    return result < 0 ? libc(result) : 20 - static_cast<int>(result);
}
int set_priority(int which, id_t who, int value) noexcept { return libc(by(SYS_setpriority, which, who, value)); }

int change_nice(int by_how_much) noexcept {
    const int saved_errno = errno;
    errno = 0;
    const int now = get_priority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0) return -1;
    if (set_priority(PRIO_PROCESS, 0, now + by_how_much) != 0) {
        if (errno == EACCES) errno = EPERM;
        return -1;
    }
    errno = 0;
    const int then = get_priority(PRIO_PROCESS, 0);
    if (then != -1 || errno == 0) errno = saved_errno;
    return then;
}

// Of pthreads: the error is the result.

pid_t number_of(const green_thread& t) noexcept { return t.tid; }

int thread_affinity(pthread_t id, std::size_t size, cpu_set_t* out) noexcept {
    const green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_getaffinity_np(id, size, out);
    const int saved_errno = errno;
    const int error = get_affinity(number_of(*t), size, out) == 0 ? 0 : errno;
    errno = saved_errno;
    return error;
}
int set_thread_affinity(pthread_t id, std::size_t size, const cpu_set_t* set) noexcept {
    const green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_setaffinity_np(id, size, set);
    return static_cast<int>(-by(SYS_sched_setaffinity, number_of(*t), size, rt::sys::arg(set)));
}
int thread_scheduling(pthread_t id, int* policy, sched_param* p) noexcept {
    const green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_getschedparam(id, policy, p);
    const long now = by(SYS_sched_getscheduler, number_of(*t));
    if (now < 0) return static_cast<int>(-now);
    *policy = static_cast<int>(now) & ~SCHED_RESET_ON_FORK;
    return static_cast<int>(-by(SYS_sched_getparam, number_of(*t), rt::sys::arg(p)));
}
int set_thread_scheduling(pthread_t id, int policy, const sched_param* p) noexcept {
    const green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_setschedparam(id, policy, p);
    return static_cast<int>(-by(SYS_sched_setscheduler, number_of(*t), policy, rt::sys::arg(p)));
}
int set_thread_priority(pthread_t id, int priority) noexcept {
    const green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_setschedprio(id, priority);
    const sched_param p{priority};
    return static_cast<int>(-by(SYS_sched_setparam, number_of(*t), rt::sys::arg(&p)));
}

int cpu_clock(pthread_t id, clockid_t* out) noexcept {
    const green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_getcpuclockid(id, out);
    if (std::atomic_ref(const_cast<green_thread*>(t)->life).load(std::memory_order_acquire) == green_thread::ended || green::is_the_parents(*t)) return ESRCH;
    *out = cpu_time::clock_of(*t);
    return 0;
}

} // namespace

} // namespace weft::shim::sched

using weft::shim::call;
using weft::shim::serve_thread;
namespace sched = weft::shim::sched;

extern "C" {

WEFT_API int sched_getaffinity(pid_t who, std::size_t size, cpu_set_t* out) noexcept {
    return serve_thread<call::sched_getaffinity>(sched::get_affinity, who, size, out);
}
WEFT_API int sched_setaffinity(pid_t who, std::size_t size, const cpu_set_t* set) noexcept {
    return serve_thread<call::sched_setaffinity>(sched::set_affinity, who, size, set);
}
WEFT_API int sched_getscheduler(pid_t who) noexcept { return serve_thread<call::sched_getscheduler>(sched::get_scheduler, who); }
WEFT_API int __sched_getscheduler(pid_t who) noexcept { return serve_thread<call::__sched_getscheduler>(sched::get_scheduler, who); }
WEFT_API int sched_setscheduler(pid_t who, int policy, const sched_param* p) noexcept {
    return serve_thread<call::sched_setscheduler>(sched::set_scheduler, who, policy, p);
}
WEFT_API int __sched_setscheduler(pid_t who, int policy, const sched_param* p) noexcept {
    return serve_thread<call::__sched_setscheduler>(sched::set_scheduler, who, policy, p);
}
WEFT_API int sched_getparam(pid_t who, sched_param* p) noexcept { return serve_thread<call::sched_getparam>(sched::get_param, who, p); }
WEFT_API int __sched_getparam(pid_t who, sched_param* p) noexcept { return serve_thread<call::__sched_getparam>(sched::get_param, who, p); }
WEFT_API int sched_setparam(pid_t who, const sched_param* p) noexcept {
    return serve_thread<call::sched_setparam>(sched::set_param, who, p);
}
WEFT_API int sched_rr_get_interval(pid_t who, timespec* t) noexcept {
    return serve_thread<call::sched_rr_get_interval>(sched::rr_interval, who, t);
}
WEFT_API int getpriority(__priority_which_t which, id_t who) noexcept {
    return serve_thread<call::getpriority>(sched::get_priority, static_cast<int>(which), who);
}
WEFT_API int setpriority(__priority_which_t which, id_t who, int value) noexcept {
    return serve_thread<call::setpriority>(sched::set_priority, static_cast<int>(which), who, value);
}
WEFT_API int nice(int by_how_much) noexcept { return serve_thread<call::nice>(sched::change_nice, by_how_much); }

WEFT_API int pthread_getaffinity_np(pthread_t id, std::size_t size, cpu_set_t* out) noexcept {
    return serve_thread<call::pthread_getaffinity_np>(sched::thread_affinity, id, size, out);
}
WEFT_API int pthread_setaffinity_np(pthread_t id, std::size_t size, const cpu_set_t* set) noexcept {
    return serve_thread<call::pthread_setaffinity_np>(sched::set_thread_affinity, id, size, set);
}
WEFT_API int pthread_getschedparam(pthread_t id, int* policy, sched_param* p) noexcept {
    return serve_thread<call::pthread_getschedparam>(sched::thread_scheduling, id, policy, p);
}
WEFT_API int pthread_setschedparam(pthread_t id, int policy, const sched_param* p) noexcept {
    return serve_thread<call::pthread_setschedparam>(sched::set_thread_scheduling, id, policy, p);
}
WEFT_API int pthread_setschedprio(pthread_t id, int priority) noexcept {
    return serve_thread<call::pthread_setschedprio>(sched::set_thread_priority, id, priority);
}
WEFT_API int pthread_getcpuclockid(pthread_t id, clockid_t* out) noexcept {
    return serve_thread<call::pthread_getcpuclockid>(sched::cpu_clock, id, out);
}

} // extern "C"
