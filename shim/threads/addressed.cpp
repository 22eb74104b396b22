// SPDX-License-Identifier: Apache-2.0
#include "threads/addressed.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"
#include "threads/cpu_time.hpp"
#include "threads/tid.hpp"

#include "core/fiber.hpp"
#include "core/sys.hpp"
#include <weft/export.hpp>

#include <fcntl.h>
#include <sys/mman.h>

namespace weft::shim::addressed {

namespace {

using rt::sys::arg;
using signals::deciding;
using signals::receiver;

constinit sources timers;
constinit sources descriptors;

bool there_are_several() noexcept { return signals::several.load(std::memory_order_relaxed); }

/// Signals whose codes say other things (kernel: sig_specific_sicodes).
bool has_codes_of_its_own(int number) noexcept {
    constexpr signals::bits all = signals::bit(SIGILL) | signals::bit(SIGFPE) | signals::bit(SIGSEGV) | signals::bit(SIGBUS) |
                                  signals::bit(SIGTRAP) | signals::bit(SIGCHLD) | signals::bit(SIGSYS);
    return (all & signals::bit(number)) != 0;
}

const owner* owner_of(const siginfo_t& info) noexcept {
    if (info.si_code == SI_TIMER) return timers.find(info.si_timerid);
    if (descriptors.empty()) return nullptr;
    const bool of_descriptor = info.si_code >= POLL_IN && info.si_code <= POLL_HUP && !has_codes_of_its_own(info.si_signo);
    if (info.si_code == SI_SIGIO || of_descriptor) return descriptors.find(info.si_fd);
    // Without F_SETSIG it does not say which.
    return (info.si_signo == SIGIO || info.si_signo == SIGURG) && info.si_code == SI_KERNEL ? descriptors.only() : nullptr;
}

} // namespace

bool find_thread(pid_t number, owner& out) noexcept {
    out = {0, number};
    if (number == rt::sys::getpid()) return true;
    return tid::is_green(number) && tid::with(number, [&](const green_thread& t) { out.fiber = t.fiber->id; });
}

receiver* receiver_of(const owner& o) noexcept { return o.fiber == 0 ? signals::main_receiver() : signals::receiver_of(o.fiber); }

sources::entry* sources::get() noexcept {
    constexpr std::size_t page = 4096;
    if (unused_ == nullptr) {
        const long p = rt::sys::call(SYS_mmap, 0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p < 0 && p > -4096) return nullptr;
        auto* const more = reinterpret_cast<entry*>(p);
        for (std::size_t i = 0; i < page / sizeof(entry); ++i) {
            more[i].next = unused_;
            unused_ = more + i;
        }
    }
    entry* const e = unused_;
    unused_ = e->next;
    return e;
}

bool sources::add(long key, const owner& o) noexcept {
    const deciding now;
    for (entry* e = first_; e != nullptr; e = e->next) {
        if (e->key != key) continue;
        e->whose = o;
        return true;
    }
    entry* const e = get();
    if (e == nullptr) return false;
    *e = {first_, key, o};
    first_ = e;
    return true;
}

void sources::remove(long key) noexcept {
    const deciding now;
    for (entry** at = &first_; *at != nullptr; at = &(*at)->next) {
        entry* const e = *at;
        if (e->key != key) continue;
        *at = e->next;
        e->next = unused_;
        unused_ = e;
        return;
    }
}

const owner* sources::find(long key) const noexcept {
    const entry* e = first_;
    while (e != nullptr && e->key != key) e = e->next;
    return e == nullptr ? nullptr : &e->whose;
}

const owner* sources::only() const noexcept {
    for (const entry* e = first_; e != nullptr; e = e->next)
        if (e->whose.fiber != first_->whose.fiber) return nullptr;
    return first_ == nullptr ? nullptr : &first_->whose;
}

bool find(const siginfo_t& info, receiver*& to) noexcept {
    const owner* const o = owner_of(info);
    if (o == nullptr) return false;
    to = receiver_of(*o);
    return true;
}

void keep(receiver* to, const siginfo_t& info) noexcept {
    if (to == nullptr) return; // it has ended, and so has what was for it
    // A timer has one signal pending at a time.
    if (info.si_code == SI_TIMER && (to->mask & to->pending.numbers() & signals::bit(info.si_signo)) != 0) return;
    signals::record(to, info, false);
}

bool passed_on(const siginfo_t& info) noexcept {
    if (info.si_code == SI_USER || info.si_code == SI_TKILL || info.si_code == SI_QUEUE) return false;
    const deciding now;
    receiver* to = nullptr;
    if (!find(info, to) || to == signals::self()) return false;
    keep(to, info);
    return true;
}

void after_fork() noexcept {
    for (sources* s : {&timers, &descriptors})
        if (!s->empty()) *s = {};
}

long create_timer(clockid_t clock, const sigevent* event, int* number) noexcept {
    clock = cpu_time::timer_clock(clock);
    sigevent wanted;
    owner whose;
    const int saved_errno = errno;
    const bool ours = event != nullptr && copy_from_caller(&wanted, event, sizeof wanted) && wanted.sigev_notify == SIGEV_THREAD_ID &&
                      find_thread(wanted._sigev_un._tid, whose);
    errno = saved_errno;
    if (!ours) return rt::sys::call(SYS_timer_create, clock, arg(event), arg(number));
    // Where main is the only thread it can stay with the kernel: those that come later are not to take its signals.
    if (there_are_several()) wanted.sigev_notify = SIGEV_SIGNAL;
    int made = 0;
    const long error = rt::sys::call(SYS_timer_create, clock, arg(&wanted), arg(&made));
    if (error != 0) return error;
    long result = -EAGAIN;
    if (timers.add(made, whose)) {
        if (copy_to_caller(number, &made, sizeof made)) return 0;
        errno = saved_errno;
        result = -EFAULT;
        timers.remove(made);
    }
    rt::sys::call(SYS_timer_delete, made);
    return result;
}

long remove_timer(long number) noexcept {
    const long result = rt::sys::call(SYS_timer_delete, number);
    if (result == 0) timers.remove(number);
    return result;
}

bool is_about_owner(int command) noexcept {
    return (command == F_SETOWN || command == F_SETOWN_EX || command == F_GETOWN || command == F_GETOWN_EX) && there_are_several();
}

int control_owner(int fd, int command, void* argument) noexcept {
    f_owner_ex wanted{};
    owner whose;
    if (command == F_SETOWN || command == F_SETOWN_EX) {
        const int saved_errno = errno;
        const bool ours = command == F_SETOWN_EX && copy_from_caller(&wanted, argument, sizeof wanted) && wanted.type == F_OWNER_TID &&
                          find_thread(wanted.pid, whose);
        errno = saved_errno;
        f_owner_ex process{F_OWNER_PID, rt::sys::getpid()}, nobody{F_OWNER_PID, 0};
        const auto number = static_cast<pid_t>(reinterpret_cast<std::intptr_t>(argument));
        // As a process, a thread that is not its first one gets nothing.
        const bool is_none = command == F_SETOWN ? tid::is_green(number) && tid::lives(number)
                                                 : wanted.type == F_OWNER_PID && tid::is_green(wanted.pid) && tid::lives(wanted.pid);
        void* const as_given = !is_none ? argument : command == F_SETOWN ? nullptr : static_cast<void*>(&nobody);
        const int result = real().fcntl(fd, command, ours ? static_cast<void*>(&process) : as_given);
        if (result == 0 && ours) return descriptors.add(fd, whose) ? 0 : fail(ENOMEM);
        if (result == 0) descriptors.remove(fd);
        return result;
    }
    const int result = real().fcntl(fd, command, argument);
    {
        const deciding now;
        const owner* const o = descriptors.find(fd);
        if (o == nullptr) return result;
        whose = *o;
    }
    if (command == F_GETOWN) return result == rt::sys::getpid() ? whose.number : result;
    auto* const out = static_cast<f_owner_ex*>(argument);
    if (result == 0 && out->type == F_OWNER_PID && out->pid == rt::sys::getpid()) *out = {F_OWNER_TID, whose.number};
    return result;
}

namespace {

int create_by_name(clockid_t clock, sigevent* event, timer_t* out) noexcept {
    if (event == nullptr || event->sigev_notify != SIGEV_THREAD_ID) return real().timer_create(cpu_time::timer_clock(clock), event, out);
    int number = 0;
    if (const long error = create_timer(clock, event, &number); error != 0) return fail(static_cast<int>(-error));
    *out = reinterpret_cast<timer_t>(static_cast<std::intptr_t>(number)); // as libc does
    return 0;
}

int remove_by_name(timer_t timer) noexcept {
    const int result = real().timer_delete(timer);
    if (result == 0) timers.remove(reinterpret_cast<std::intptr_t>(timer));
    return result;
}

} // namespace

} // namespace weft::shim::addressed

using weft::shim::call;
using weft::shim::serve_thread;
namespace policy = weft::shim::addressed;

extern "C" {

WEFT_API int timer_create(clockid_t clock, sigevent* event, timer_t* out) noexcept {
    return serve_thread<call::timer_create>(policy::create_by_name, clock, event, out);
}
WEFT_API int timer_delete(timer_t timer) noexcept { return serve_thread<call::timer_delete>(policy::remove_by_name, timer); }

} // extern "C"
