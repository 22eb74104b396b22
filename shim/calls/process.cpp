// SPDX-License-Identifier: Apache-2.0
// Waiting for children. The kernel is asked without waiting; if no child has anything to say the fiber waits (child_watch) and asks again.
// SIGCHLD is the program's: a child that is reaped here was reaped before its handler runs, as in the kernel.
#include "calls/process.hpp"

#include "calls/child_watch.hpp"
#include "calls/wait.hpp"
#include "core/real.hpp"

#include "core/hub.hpp"
#include "core/sys.hpp"

namespace weft::shim::process {

namespace {

constexpr int event_options = WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL;

/// A program that asks again and again without ever waiting must not hold the hub for ever. One that asks now and then is left alone, as
/// it may be in a handler.
void asked_in_vain() noexcept {
    thread_local constinit std::uint64_t switches __attribute__((tls_model("initial-exec"))) = 0;
    thread_local constinit int times __attribute__((tls_model("initial-exec"))) = 0;
    const rt::hub& here = *rt::hub::current();
    if (here.counters().switches != switches) {
        switches = here.counters().switches;
        times = 0;
    }
    if (++times > 100) rt::yield_quietly();
}

/// The waiting part of each call. `attempt()` asks without waiting: what it found, 0 for nothing yet, or a negative errno.
template <class Attempt>
long await_child(const child_event& event, Attempt attempt) noexcept {
    signals::wait signals;
    child_watch watch(event);
    for (;;) {
        if (const long found = attempt(); found != 0) return found;
        if (const int error = refused_wait(); error != 0) return -error;
        watch.suspend();
        // First the child, then the handlers: one of SIGCHLD may reap whatever it finds.
        if (const long found = attempt(); found != 0) return found;
        if (const int error = rt::interruption_errno(true); error != 0) return -error;
        if (signals.interrupted(true)) return -EINTR;
    }
}

template <class Attempt>
long find_child(int options, const child_event& event, Attempt attempt) noexcept {
    const int saved_errno = errno;
    long found = attempt();
    if (found == 0) {
        if ((options & WNOHANG) != 0) asked_in_vain();
        else found = await_child(event, attempt);
    }
    errno = found < 0 ? static_cast<int>(-found) : saved_errno;
    return found;
}

child_event event_of(pid_t pid, int options) noexcept {
    child_event e;
    e.options = (options & event_options) | WEXITED;
    if (pid > 0) e.type = P_PID, e.id = static_cast<id_t>(pid);
    else if (pid < -1) e.type = P_PGID, e.id = static_cast<id_t>(-pid);
    else if (pid == 0) e.type = P_PGID, e.id = static_cast<id_t>(::getpgrp());
    return e;
}

} // namespace

pid_t wait4(pid_t pid, int* status, int options, rusage* usage) noexcept {
    const child_event event = event_of(pid, options);
    if (pid == 0) pid = -static_cast<pid_t>(event.id); // the group that it is in now
    const long found = find_child(options, event, [&]() noexcept -> long {
        const pid_t got = real().wait4(pid, status, options | WNOHANG, usage);
        if (got > 0 && status != nullptr && WIFSTOPPED(*status) && (options & WUNTRACED) == 0) child_watch::tracing();
        return got < 0 ? -errno : got;
    });
    return found < 0 ? -1 : static_cast<pid_t>(found);
}

int waitid(int type, id_t id, siginfo_t* info, int options, rusage* usage) noexcept {
    child_event event{static_cast<idtype_t>(type), id, options & event_options};
    if (type == P_PGID && id == 0) event.id = id = static_cast<id_t>(::getpgrp());
    auto ask = [&](siginfo_t* to, int how, rusage* use) noexcept {
        return rt::sys::call(SYS_waitid, type, static_cast<long>(id), rt::sys::arg(to), how, rt::sys::arg(use));
    };
    if ((options & WNOHANG) != 0 || (type == P_PIDFD && is_nonblocking(static_cast<int>(id)))) {
        asked_in_vain();
        const long result = ask(info, options, usage);
        return result < 0 ? fail(static_cast<int>(-result)) : 0;
    }
    // The kernel writes to the caller's record also where it found nothing: it is given that only when something is there.
    siginfo_t seen;
    const long found = find_child(options, event, [&]() noexcept -> long {
        seen.si_signo = 0;
        if (ask(&seen, options | WNOHANG | WNOWAIT, nullptr) == 0 && seen.si_signo == 0) return 0;
        seen.si_signo = 0;
        siginfo_t* to = info == nullptr ? &seen : info;
        if (const long result = ask(to, options | WNOHANG, usage); result < 0) return result;
        if (to->si_signo == 0) return 0;
        if (to->si_code == CLD_TRAPPED) child_watch::tracing();
        return 1;
    });
    // A wait that is interrupted leaves an empty record, as one that is asked nothing does.
    if (found == -EINTR && info != nullptr) ask(info, 0, nullptr);
    return found < 0 ? -1 : 0;
}

pid_t reap(pid_t pid, int* status) noexcept {
    const rt::no_interruption on_the_way_out;
    child_watch watch({P_PID, static_cast<id_t>(pid), WEXITED});
    for (;;) {
        const pid_t got = real().wait4(pid, status, WNOHANG, nullptr);
        if (got != 0) return got;
        watch.suspend();
    }
}

} // namespace weft::shim::process
