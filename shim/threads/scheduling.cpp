// SPDX-License-Identifier: Apache-2.0
#include "threads/scheduling.hpp"

#include "calls/wait.hpp"
#include "core/real.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace weft::shim::sched {

namespace {

using rt::sys::arg;

constexpr int of_thread = 1; // IOPRIO_WHO_PROCESS; PRIO_PROCESS is 0

constinit scheduling begun;
constinit bool known = false;

/// sched_setattr(2)'s own layout, in its first version.
struct attributes {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
};

constexpr int policy_of_deadlines = 6;
bool is_real_time(int policy) noexcept { return policy == SCHED_FIFO || policy == SCHED_RR; }

/// Of a kernel thread; 0: the calling one.
scheduling of_kernel(long thread) noexcept {
    scheduling s;
    sched_param p{};
    s.policy = static_cast<int>(rt::sys::call(SYS_sched_getscheduler, thread));
    if (rt::sys::call(SYS_sched_getparam, thread, arg(&p)) == 0) s.priority = p.sched_priority;
    s.nice = 20 - static_cast<int>(rt::sys::call(SYS_getpriority, PRIO_PROCESS, thread));
    s.disk = static_cast<int>(rt::sys::call(SYS_ioprio_get, of_thread, thread));
    rt::sys::call(SYS_sched_getaffinity, thread, sizeof s.processors, arg(&s.processors));
    if (attributes a{}; rt::sys::call(SYS_sched_getattr, thread, arg(&a), sizeof a, 0) == 0) {
        s.runtime = a.runtime;
        s.deadline = a.deadline;
        s.period = a.period;
    }
    return s;
}

/// Makes the calling kernel thread so, as far as it may be.
void apply(const scheduling& s) noexcept {
    const sched_param p{s.priority};
    if ((s.policy & ~SCHED_RESET_ON_FORK) == policy_of_deadlines) {
        const attributes a{sizeof a, policy_of_deadlines, 0, 0, 0, s.runtime, s.deadline, s.period};
        rt::sys::call(SYS_sched_setattr, 0, arg(&a), 0);
        return; // which must be allowed all processors
    }
    rt::sys::call(SYS_sched_setscheduler, 0, s.policy, arg(&p));
    rt::sys::call(SYS_setpriority, PRIO_PROCESS, 0, s.nice);
    rt::sys::call(SYS_ioprio_set, of_thread, 0, s.disk);
    rt::sys::call(SYS_sched_setaffinity, 0, sizeof s.processors, arg(&s.processors));
}

scheduling of(const green_thread& t) noexcept { return t.how == nullptr ? begun : *t.how; }

bool store(green_thread& t, const scheduling& s, scheduling*& room) noexcept {
    if (t.how == nullptr) t.how = std::exchange(room, nullptr);
    if (t.how == nullptr) return false;
    *t.how = s;
    return true;
}

// --- What the kernel would say ---

struct attempt {
    scheduling now;
    long number, b, c, d; // the call; its first or second argument is the thread, which tries it on itself
    long result = 0;
};

void* on_trial(void* argument) noexcept {
    rt::sys::call(SYS_prctl, PR_SET_NAME, rt::sys::arg("weft-trial")); // none of the program's
    auto& a = *static_cast<attempt*>(argument);
    apply(a.now);
    const bool by_who = a.number == SYS_setpriority || a.number == SYS_ioprio_set;
    a.result = by_who ? rt::sys::call(a.number, a.b, 0, a.c) : rt::sys::call(a.number, 0, a.b, a.c, a.d);
    if (a.result >= 0) a.now = of_kernel(0);
    return nullptr;
}

/// Tries the call on a thread that is scheduled as `now`, which becomes what it made of it.
long try_it(scheduling& now, long number, long b, long c, long d) noexcept {
    attempt a{now, number, b, c, d};
    const rt::inside_weft inside;
    sigset_t all, before;
    ::sigfillset(&all);
    ::sigdelset(&all, SIGSYS);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread{};
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setinheritsched(&attributes, PTHREAD_INHERIT_SCHED);
    const int error = real().pthread_create(&thread, &attributes, on_trial, &a);
    ::pthread_attr_destroy(&attributes);
    if (error == 0) real().pthread_join(thread, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) return -EAGAIN;
    now = a.now;
    return a.result;
}

// --- The calls ---

/// A green thread that is not main, by its number or as the caller; else the number as the kernel is to have it.
bool is_ours(long& number) noexcept {
    const green_thread* const me = green::self();
    if (number == 0 && me != nullptr) number = me->tid;
    if (!tid::is_green(static_cast<pid_t>(number))) return false;
    return tid::with(static_cast<pid_t>(number), [](green_thread&) {});
}

bool read(long number, scheduling& out) noexcept {
    return tid::with(static_cast<pid_t>(number), [&](const green_thread& t) { out = of(t); });
}

long change(long number, long system_call, long b, long c, long d) noexcept {
    scheduling s;
    if (!read(number, s)) return -ESRCH;
    const long result = try_it(s, system_call, b, c, d);
    if (result < 0) return result;
    auto* room = new (std::nothrow) scheduling;
    bool stored = false;
    tid::with(static_cast<pid_t>(number), [&](green_thread& t) { stored = store(t, s, room); });
    delete room;
    return stored ? result : -ESRCH;
}

/// The main thread was changed, in the kernel: what its children inherit.
void main_changed() noexcept {
    const green_thread* const me = green::self();
    if (me == nullptr) return;
    const int process = rt::sys::getpid();
    const scheduling now = of_kernel(process);
    auto* room = new (std::nothrow) scheduling;
    tid::with(process, [&](green_thread& t) { store(t, now, room); });
    delete room;
}

long for_kernel(long result, long number) noexcept {
    if (result >= 0 && number == rt::sys::getpid()) main_changed();
    return result;
}

/// The kernel answers for the main thread, which finds fault with the arguments; then our own answer is laid over its.
template <class T>
long answer(long result, long to, const T& value, std::size_t bytes) noexcept {
    if (result < 0) return result;
    return copy_to_caller(reinterpret_cast<void*>(to), &value, bytes) ? result : -EFAULT;
}

} // namespace

long call(long number, long a, long b, long c, long d) noexcept {
    const int saved_errno = errno;
    const bool by_who = number == SYS_getpriority || number == SYS_setpriority || number == SYS_ioprio_get || number == SYS_ioprio_set;
    const bool of_one = !by_who || a == (number == SYS_getpriority || number == SYS_setpriority ? PRIO_PROCESS : of_thread);
    long& who = by_who ? b : a;
    const bool ours = known && of_one && is_ours(who);
    const bool changes = number == SYS_sched_setaffinity || number == SYS_sched_setscheduler || number == SYS_sched_setparam ||
                         number == SYS_sched_setattr || number == SYS_setpriority || number == SYS_ioprio_set;
    if (!ours) {
        const long result = rt::sys::call(number, a, b, c, d);
        return changes && known && of_one ? for_kernel(result, who) : result;
    }
    const long thread = who;
    const long process = rt::sys::getpid();
    scheduling s;
    if (changes) {
        const long result = by_who ? change(thread, number, a, c, 0) : change(thread, number, b, c, d);
        errno = saved_errno;
        return result;
    }
    if (!read(thread, s)) return -ESRCH;
    long result = by_who ? rt::sys::call(number, a, process) : rt::sys::call(number, process, b, c, d);
    switch (number) {
    case SYS_sched_getaffinity:
        result = answer(result, c, s.processors, std::min(static_cast<std::size_t>(std::max(result, 0L)), sizeof s.processors));
        break;
    case SYS_sched_getscheduler: result = s.policy; break;
    case SYS_sched_getparam: result = answer(result, b, s.priority, sizeof s.priority); break;
    case SYS_sched_getattr: {
        attributes now{};
        if (result < 0 || !copy_from_caller(&now, reinterpret_cast<const void*>(b), sizeof now)) break;
        now.policy = static_cast<std::uint32_t>(s.policy & ~SCHED_RESET_ON_FORK);
        now.flags = (s.policy & SCHED_RESET_ON_FORK) != 0 ? 1 : 0;
        const bool real_time = is_real_time(static_cast<int>(now.policy));
        now.nice = real_time ? 0 : s.nice;
        now.priority = real_time ? static_cast<std::uint32_t>(s.priority) : 0;
        now.runtime = s.runtime;
        now.deadline = s.deadline;
        now.period = s.period;
        result = answer(result, b, now, sizeof now);
        break;
    }
    case SYS_getpriority: result = 20 - s.nice; break;
    case SYS_ioprio_get: result = s.disk; break;
    case SYS_sched_rr_get_interval:
        if (is_real_time(s.policy & ~SCHED_RESET_ON_FORK)) result = try_it(s, number, b, c, d);
        break; // else as the main thread's
    default: break;
    }
    errno = saved_errno;
    return result;
}

void remember() noexcept {
    if (known) return;
    begun = of_kernel(0);
    known = true;
}

int begin(green_thread& made, const green_thread* maker, const pthread_attr_t* attributes, bool inherits) noexcept {
    scheduling wanted = maker == nullptr ? begun : of(*maker);
    bool own = maker != nullptr && maker->how != nullptr;
    if ((wanted.policy & SCHED_RESET_ON_FORK) != 0) {
        const bool real_time = (wanted.policy & ~SCHED_RESET_ON_FORK) != SCHED_OTHER;
        wanted.policy = SCHED_OTHER;
        if (real_time) wanted.priority = 0;
        wanted.nice = std::max(wanted.nice, 0);
    }
    if (attributes != nullptr) {
        cpu_set_t set;
        const bool has_set = ::pthread_attr_getaffinity_np(attributes, sizeof set, &set) == 0 && CPU_COUNT(&set) != CPU_SETSIZE;
        if (has_set) {
            if (const long r = try_it(wanted, SYS_sched_setaffinity, sizeof set, arg(&set), 0); r < 0) return static_cast<int>(-r);
            own = true;
        }
        int policy = 0;
        sched_param p{};
        ::pthread_attr_getschedpolicy(attributes, &policy);
        ::pthread_attr_getschedparam(attributes, &p);
        if (!inherits && (policy != wanted.policy || p.sched_priority != wanted.priority)) {
            if (const long r = try_it(wanted, SYS_sched_setscheduler, policy, arg(&p), 0); r < 0) return static_cast<int>(-r);
            own = true;
        }
    }
    if (!own) return 0;
    made.how = new (std::nothrow) scheduling(wanted);
    return made.how == nullptr ? EAGAIN : 0;
}

void end(green_thread& t) noexcept { delete std::exchange(t.how, nullptr); }

void describe(const green_thread& t, pthread_attr_t* out) noexcept {
    const scheduling s = of(t);
    const sched_param p{s.priority};
    ::pthread_attr_setschedpolicy(out, s.policy & ~SCHED_RESET_ON_FORK);
    ::pthread_attr_setschedparam(out, &p);
    ::pthread_attr_setaffinity_np(out, sizeof s.processors, &s.processors);
}

void after_fork(green_thread& me) noexcept {
    if (me.how != nullptr) apply(*me.how);
}

} // namespace weft::shim::sched
