// SPDX-License-Identifier: Apache-2.0
// Signals and threads by their numbers.
#include "calls/syscall_families.hpp"

#include "calls/signal_mask.hpp"
#include "calls/syscall_policy.hpp"
#include "calls/wait.hpp"
#include "core/alternate_stack.hpp"
#include "core/serve.hpp"
#include "core/signals.hpp"
#include "threads/addressed.hpp"
#include "threads/cpu_time.hpp"
#include "threads/green.hpp"
#include "threads/names.hpp"
#include "threads/tid.hpp"

#include <cstring>

#include <sys/syscall.h>

namespace weft::shim::syscalls {

namespace {

/// rt_sigaction(2)'s own layout.
struct kernel_action {
    sighandler_t handler;
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
};

/// libc keeps two for itself and refuses them; the kernel does not.
bool is_program_signal(long number) noexcept { return number < 32 || number > 33; }

} // namespace

long rt_sigaction(const arguments& a) noexcept {
    if (a[3] != mask_size || !is_program_signal(a[0])) return make(SYS_rt_sigaction, a);
    struct sigaction wanted {}, old {};
    kernel_action k{};
    if (a[1] != 0) {
        if (!copy_from_caller(&k, from_register<const void*>(a[1]), sizeof k)) return -EFAULT;
        wanted.sa_handler = k.handler;
        wanted.sa_flags = static_cast<int>(k.flags);
        wanted.sa_restorer = k.restorer;
        std::memcpy(&wanted.sa_mask, &k.mask, sizeof k.mask);
    }
    if (signals::action(static_cast<int>(a[0]), a[1] == 0 ? nullptr : &wanted, &old) != 0) return -errno;
    if (a[2] == 0) return 0;
    k = {old.sa_handler, static_cast<unsigned>(old.sa_flags), old.sa_restorer, 0};
    std::memcpy(&k.mask, &old.sa_mask, sizeof k.mask);
    return copy_to_caller(from_register<void*>(a[2]), &k, sizeof k) ? 0 : -EFAULT;
}

long rt_sigprocmask(const arguments& a) noexcept {
    return signal_mask::change_by_number(a[0], from_register<const void*>(a[1]), from_register<void*>(a[2]), static_cast<std::size_t>(a[3]));
}

long rt_sigpending(const arguments& a) noexcept {
    return signal_mask::pending_by_number(from_register<void*>(a[0]), static_cast<std::size_t>(a[1]));
}

long sigaltstack(const arguments& a) noexcept {
    if (signals::own_masks() == nullptr) return make(SYS_sigaltstack, a);
    stack_t wanted{}, old{};
    const errno_of_success success;
    if (a[0] != 0 && !copy_from_caller(&wanted, from_register<const void*>(a[0]), sizeof wanted)) return success(-EFAULT);
    if (signals::alternate_stack(a[0] == 0 ? nullptr : &wanted, &old) != 0) return success(-errno);
    return success(a[1] == 0 || copy_to_caller(from_register<void*>(a[1]), &old, sizeof old) ? 0 : -EFAULT);
}

// --- Threads by their numbers, of which the kernel does not know ours ---

long gettid(const arguments&) noexcept { return tid::mine(); }
long kill(const arguments& a) noexcept { return tid::kill_process(static_cast<pid_t>(a[0]), static_cast<int>(a[1])); }
long tgkill(const arguments& a) noexcept {
    return tid::kill(static_cast<pid_t>(a[0]), static_cast<pid_t>(a[1]), static_cast<int>(a[2]), nullptr);
}
long tkill(const arguments& a) noexcept { return tid::kill(-1, static_cast<pid_t>(a[0]), static_cast<int>(a[1]), nullptr); }

long rt_tgsigqueueinfo(const arguments& a) noexcept {
    if (!tid::is_green(static_cast<pid_t>(a[1]))) return make(SYS_rt_tgsigqueueinfo, a);
    siginfo_t info{};
    const errno_of_success success;
    if (!copy_from_caller(&info, from_register<const void*>(a[3]), sizeof info)) return success(-EFAULT);
    return tid::kill(static_cast<pid_t>(a[0]), static_cast<pid_t>(a[1]), static_cast<int>(a[2]), &info);
}

long prctl(const arguments& a) noexcept { return names::prctl(static_cast<int>(a[0]), a[1], a[2], a[3], a[4]); }

long clock_gettime(const arguments& a) noexcept {
    return cpu_time::clock_gettime(static_cast<clockid_t>(a[0]), from_register<timespec*>(a[1]));
}
long clock_getres(const arguments& a) noexcept { return cpu_time::clock_getres(static_cast<clockid_t>(a[0]), from_register<timespec*>(a[1])); }
long timer_create(const arguments& a) noexcept {
    return addressed::create_timer(static_cast<clockid_t>(a[0]), from_register<const sigevent*>(a[1]), from_register<int*>(a[2]));
}
long timer_delete(const arguments& a) noexcept { return addressed::remove_timer(a[0]); }
long getrusage(const arguments& a) noexcept { return cpu_time::getrusage(static_cast<int>(a[0]), from_register<rusage*>(a[1])); }

/// What the kernel keeps for the end of a thread: of a kernel thread's, not of those that it carries.
long set_tid_address(const arguments& a) noexcept { return green::self() != nullptr ? tid::mine() : make(SYS_set_tid_address, a); }

} // namespace weft::shim::syscalls
