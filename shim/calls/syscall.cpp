// SPDX-License-Identifier: Apache-2.0
// The table of system calls by number, and what the kernel's arguments are beside libc's.
#include "calls/syscall.hpp"

#include "calls/disk.hpp"
#include "calls/aio_kernel.hpp"
#include "calls/fd.hpp"
#include "calls/file_lock.hpp"
#include "calls/io.hpp"
#include "calls/ipc.hpp"
#include "calls/line.hpp"
#include "calls/messages.hpp"
#include "calls/open.hpp"
#include "calls/poll.hpp"
#include "calls/positioned.hpp"
#include "calls/process.hpp"
#include "calls/signal_wait.hpp"
#include "calls/splice.hpp"
#include "calls/syscall_families.hpp"
#include "calls/syscall_names.hpp"
#include "calls/syscall_policy.hpp"
#include "calls/time.hpp"
#include "calls/wait.hpp"
#include "core/real.hpp"
#include "core/serve.hpp"
#include "core/trap.hpp"
#include "threads/futex.hpp"
#include "threads/numbers.hpp"
#include "threads/rights.hpp"
#include "threads/scheduling.hpp"
#include "threads/task_files.hpp"

#include "core/sys.hpp"

#include <array>
#include <utility>

#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 // Linux 5.16
#endif

namespace weft::shim::syscalls {

namespace {

// --- Descriptors, which are noted also where nothing is served ---

long made(long fd) noexcept { return fd < 0 ? fd : fd::made(static_cast<int>(fd)); }

template <long number>
long makes(const arguments& a) noexcept {
    return made(make(number, a));
}

template <long number, std::size_t where>
long makes_pair(const arguments& a) noexcept {
    const long result = make(number, a);
    if (result == 0) fd::made_pair(0, from_register<const int*>(a[where]));
    return result;
}

template <auto function>
long makes_served(const arguments& a) noexcept {
    return made(apply(function, a));
}

template <bool with_flags>
long replace(const arguments& a) noexcept {
    return result_of(fd::replace(static_cast<int>(a[0]), static_cast<int>(a[1]), static_cast<int>(a[2]), with_flags));
}

/// A descriptor that may come from elsewhere.
long received(long fd) noexcept { return fd < 0 ? fd : fd::received(static_cast<int>(fd)); }

template <long number>
long receives(const arguments& a) noexcept {
    return received(make(number, a));
}

template <auto function>
long receives_served(const arguments& a) noexcept {
    return received(apply(function, a));
}

template <bool serves>
long opens(const arguments& a) noexcept {
    const long result = serves ? apply(opening::openat, a) : make(SYS_openat, a);
    if (result < 0) errno = static_cast<int>(-result);
    const int fd = result < 0 ? -1 : static_cast<int>(result);
    return received(result_of(task_files::opened(fd, static_cast<int>(a[0]), from_register<const char*>(a[1]), static_cast<int>(a[2]))));
}

/// open(2).
template <bool serves>
long opens_here(const arguments& a) noexcept {
    return opens<serves>({{AT_FDCWD, a[0], a[1], a[2]}});
}

long duplicate(const arguments& a) noexcept {
    const long result = make(SYS_dup, a);
    return result < 0 ? result : fd::duplicated(static_cast<int>(a[0]), static_cast<int>(result));
}

long closes(const arguments& a) noexcept { return result_of(fd::close(static_cast<int>(a[0]))); }

template <bool serves>
long control(const arguments& a) noexcept {
    const long result = serves ? apply(file_lock::control, a) : make(SYS_fcntl, a);
    return result < 0 ? result : fd::controlled(static_cast<int>(result), static_cast<int>(a[0]), static_cast<int>(a[1]));
}

template <bool serves>
long recvmsg(const arguments& a) noexcept {
    const long result = serves ? apply(io::recvmsg, a) : make(SYS_recvmsg, a);
    return fd::brought(result, from_register<const msghdr*>(a[1]));
}

template <bool serves>
long recvmmsg(const arguments& a) noexcept {
    const long result = serves ? apply(messages::recvmmsg, a) : make(SYS_recvmmsg, a);
    const auto* all = from_register<const mmsghdr*>(a[1]);
    for (long i = 0; i < result; ++i) fd::brought(0, &all[i].msg_hdr);
    return result;
}

template <bool serves>
long sendmsg(const arguments& a) noexcept {
    const long result = serves ? apply(io::sendmsg, a) : make(SYS_sendmsg, a);
    return fd::took(result, from_register<const msghdr*>(a[1]));
}

template <bool serves>
long sendmmsg(const arguments& a) noexcept {
    const long result = serves ? apply(messages::sendmmsg, a) : make(SYS_sendmmsg, a);
    const auto* all = from_register<const mmsghdr*>(a[1]);
    for (long i = 0; i < result; ++i) fd::took(0, &all[i].msg_hdr);
    return result;
}

template <bool serves>
long control_line(const arguments& a) noexcept {
    const long result = serves ? apply(line::control, a) : make(SYS_ioctl, a);
    if (result >= 0) fd::line_controlled(0, static_cast<int>(a[0]), static_cast<unsigned long>(a[1]));
    return result;
}

long directory_entries(const arguments& a) noexcept {
    return task_files::getdents64(static_cast<unsigned>(a[0]), from_register<void*>(a[1]), static_cast<unsigned>(a[2]));
}

long allocate_key(const arguments& a) noexcept { return rights::allocate(static_cast<unsigned>(a[0]), static_cast<unsigned>(a[1])); }

long forks(const arguments& a) noexcept {
    descriptor::child_begins();
    return make(SYS_fork, a);
}

/// The kernel has the offset in two halves, of which the first is all.
long preadv2(const arguments& a) noexcept { return plain<positioned::preadv2>({{a[0], a[1], a[2], a[3], a[5]}}); }
long pwritev2(const arguments& a) noexcept { return plain<positioned::pwritev2>({{a[0], a[1], a[2], a[3], a[5]}}); }

/// A new one, or the one that was given.
long signal_descriptor(long result, const arguments& a) noexcept { return result == a[0] ? result : made(result); }

template <long number>
long makes_signalfd(const arguments& a) noexcept {
    return signal_descriptor(make(number, a), a);
}

template <long number>
long scheduling(const arguments& a) noexcept {
    return sched::call(number, a[0], a[1], a[2], a[3]);
}

long opens_process(const arguments& a) noexcept { return made(apply_kernel(numbers::pidfd_open, a)); }
long counts_events(const arguments& a) noexcept { return made(apply_kernel(numbers::perf_event_open, a)); }

// --- The table ---

struct entry {
    policy served = nullptr;    // where its family is served
    policy otherwise = nullptr; // elsewhere; null: the kernel's own
    family of = family::io;
};

constexpr std::size_t numbers = 512;

constexpr std::array<entry, numbers> make_table() noexcept {
    std::array<entry, numbers> t{};
    const auto waits = [&](long number, family f, policy p) { t[static_cast<std::size_t>(number)] = {p, nullptr, f}; };
    const auto notes = [&](long number, policy p) { t[static_cast<std::size_t>(number)] = {p, p, family::io}; };
    waits(SYS_read, family::io, plain<io::read>);
    waits(SYS_readv, family::io, plain<io::readv>);
    waits(SYS_write, family::io, plain<io::write>);
    waits(SYS_writev, family::io, plain<io::writev>);
    waits(SYS_recvfrom, family::io, plain<io::recvfrom>);
    t[SYS_recvmsg] = {recvmsg<true>, recvmsg<false>, family::io};
    t[SYS_recvmmsg] = {recvmmsg<true>, recvmmsg<false>, family::io};
    waits(SYS_sendto, family::io, plain<io::sendto>);
    t[SYS_sendmsg] = {sendmsg<true>, sendmsg<false>, family::io};
    t[SYS_sendmmsg] = {sendmmsg<true>, sendmmsg<false>, family::io};
    waits(SYS_pread64, family::io, plain<positioned::pread>);
    waits(SYS_pwrite64, family::io, plain<positioned::pwrite>);
    waits(SYS_preadv, family::io, plain<positioned::preadv>);
    waits(SYS_pwritev, family::io, plain<positioned::pwritev>);
    waits(SYS_preadv2, family::io, preadv2);
    waits(SYS_pwritev2, family::io, pwritev2);
    waits(SYS_sendfile, family::io, plain<splicing::sendfile>);
    waits(SYS_splice, family::io, plain<splicing::splice>);
    waits(SYS_tee, family::io, plain<splicing::tee>);
    waits(SYS_vmsplice, family::io, plain<splicing::vmsplice>);
    waits(SYS_copy_file_range, family::io, plain<disk::copy_file_range>);
    waits(SYS_flock, family::io, plain<file_lock::flock>);
    waits(SYS_fsync, family::io, plain<disk::fsync>);
    waits(SYS_fdatasync, family::io, plain<disk::fdatasync>);
    waits(SYS_syncfs, family::io, plain<disk::syncfs>);
    waits(SYS_msync, family::io, plain<disk::msync>);
    waits(SYS_sync_file_range, family::io, plain<disk::sync_file_range>);
    t[SYS_ioctl] = {control_line<true>, control_line<false>, family::io};
    waits(SYS_connect, family::io, plain<io::connect>);
    t[SYS_accept] = {makes_served<io::accept>, makes<SYS_accept>, family::io};
    t[SYS_accept4] = {makes_served<io::accept4>, makes<SYS_accept4>, family::io};

    waits(SYS_poll, family::poll, plain<polling::poll>);
    waits(SYS_ppoll, family::poll, ppoll);
    waits(SYS_select, family::poll, plain<polling::select>);
    waits(SYS_pselect6, family::poll, pselect6);

    waits(SYS_epoll_wait, family::poll, plain<polling::epoll_wait>);
    waits(SYS_epoll_pwait, family::poll, epoll_pwait);
    waits(SYS_epoll_pwait2, family::poll, epoll_pwait2);
    waits(SYS_io_getevents, family::io, plain<aio_kernel::io_getevents>);
    waits(SYS_io_pgetevents, family::io, plain<aio_kernel::io_pgetevents>);
    waits(SYS_io_uring_enter, family::io, plain<aio_kernel::io_uring_enter>);
    waits(SYS_wait4, family::process, plain<process::wait4>);
    waits(SYS_waitid, family::process, plain<process::waitid>);

    waits(SYS_mq_timedreceive, family::io, plain<ipc::mq_timedreceive>);
    waits(SYS_mq_timedsend, family::io, plain<ipc::mq_timedsend>);
    waits(SYS_msgrcv, family::io, plain<ipc::msgrcv>);
    waits(SYS_msgsnd, family::io, plain<ipc::msgsnd>);
    waits(SYS_semop, family::io, plain<ipc::semop>);
    waits(SYS_semtimedop, family::io, plain<ipc::semtimedop>);

    waits(SYS_pause, family::signal, plain<signal_wait::pause>);
    waits(SYS_rt_sigsuspend, family::signal, rt_sigsuspend);
    waits(SYS_rt_sigtimedwait, family::signal, rt_sigtimedwait);

    t[SYS_futex] = {futex, futex, family::locks};
    waits(SYS_futex_waitv, family::locks, futex_waitv);

    waits(SYS_nanosleep, family::time, plain<time::nanosleep>);
    waits(SYS_clock_nanosleep, family::time, clock_nanosleep);
    waits(SYS_sched_yield, family::time, plain<time::sched_yield>);

    notes(SYS_socket, makes<SYS_socket>);
    notes(SYS_socketpair, makes_pair<SYS_socketpair, 3>);
    notes(SYS_pipe, makes_pair<SYS_pipe, 0>);
    notes(SYS_pipe2, makes_pair<SYS_pipe2, 0>);
    notes(SYS_eventfd, makes<SYS_eventfd>);
    notes(SYS_eventfd2, makes<SYS_eventfd2>);
    notes(SYS_epoll_create, makes<SYS_epoll_create>);
    notes(SYS_epoll_create1, makes<SYS_epoll_create1>);
    t[SYS_open] = {opens_here<true>, opens_here<false>, family::io};
    t[SYS_openat] = {opens<true>, opens<false>, family::io};
    t[SYS_creat] = {receives_served<opening::creat>, receives<SYS_creat>, family::io};
    notes(SYS_openat2, receives<SYS_openat2>);
    notes(SYS_timerfd_create, makes<SYS_timerfd_create>);
    notes(SYS_signalfd, makes_signalfd<SYS_signalfd>);
    notes(SYS_signalfd4, makes_signalfd<SYS_signalfd4>);
    notes(SYS_inotify_init, makes<SYS_inotify_init>);
    notes(SYS_inotify_init1, makes<SYS_inotify_init1>);
    notes(SYS_fanotify_init, makes<SYS_fanotify_init>);
    notes(SYS_memfd_create, makes<SYS_memfd_create>);
    notes(SYS_userfaultfd, makes<SYS_userfaultfd>);
    notes(SYS_perf_event_open, counts_events);
    notes(SYS_pidfd_open, opens_process);
    notes(SYS_pidfd_getfd, receives<SYS_pidfd_getfd>);
    notes(SYS_dup, duplicate);
    notes(SYS_dup2, replace<false>);
    notes(SYS_dup3, replace<true>);
    t[SYS_fcntl] = {control<true>, control<false>, family::io};
    notes(SYS_fork, forks);
    notes(SYS_setsockopt, plain<fd::set_option>);
    notes(SYS_close, closes);
    notes(SYS_close_range, plain<fd::close_range>);

    const auto always = [&](long number, policy p) { t[static_cast<std::size_t>(number)] = {p, p, family::threads}; };
    always(SYS_rt_sigprocmask, rt_sigprocmask);
    always(SYS_rt_sigpending, rt_sigpending);
    always(SYS_sigaltstack, sigaltstack);
    always(SYS_gettid, gettid);
    always(SYS_kill, kill);
    always(SYS_tgkill, tgkill);
    always(SYS_tkill, tkill);
    always(SYS_rt_tgsigqueueinfo, rt_tgsigqueueinfo);
    always(SYS_prctl, prctl);
    always(SYS_clock_gettime, clock_gettime);
    always(SYS_clock_getres, clock_getres);
    always(SYS_getrusage, getrusage);
    always(SYS_timer_create, timer_create);
    always(SYS_timer_delete, timer_delete);
    always(SYS_pkey_alloc, allocate_key);
    always(SYS_getdents64, directory_entries);
    always(SYS_set_tid_address, set_tid_address);
    always(SYS_sched_getaffinity, scheduling<SYS_sched_getaffinity>);
    always(SYS_sched_setaffinity, scheduling<SYS_sched_setaffinity>);
    always(SYS_sched_getscheduler, scheduling<SYS_sched_getscheduler>);
    always(SYS_sched_setscheduler, scheduling<SYS_sched_setscheduler>);
    always(SYS_sched_getparam, scheduling<SYS_sched_getparam>);
    always(SYS_sched_setparam, scheduling<SYS_sched_setparam>);
    always(SYS_sched_getattr, scheduling<SYS_sched_getattr>);
    always(SYS_sched_setattr, scheduling<SYS_sched_setattr>);
    always(SYS_sched_rr_get_interval, scheduling<SYS_sched_rr_get_interval>);
    always(SYS_getpriority, scheduling<SYS_getpriority>);
    always(SYS_setpriority, scheduling<SYS_setpriority>);
    always(SYS_ioprio_get, scheduling<SYS_ioprio_get>);
    always(SYS_ioprio_set, scheduling<SYS_ioprio_set>);
    always(SYS_getpgid, about_process<SYS_getpgid, 0>);
    always(SYS_getsid, about_process<SYS_getsid, 0>);
    always(SYS_setpgid, straight<numbers::setpgid>);
    always(SYS_prlimit64, about_process<SYS_prlimit64, 0>);
    always(SYS_process_vm_readv, about_process<SYS_process_vm_readv, 0>);
    always(SYS_process_vm_writev, about_process<SYS_process_vm_writev, 0>);
    always(SYS_kcmp, about_process<SYS_kcmp, 0, 1>);
    always(SYS_migrate_pages, about_process<SYS_migrate_pages, 0>);
    always(SYS_move_pages, about_process<SYS_move_pages, 0>);
    always(SYS_ptrace, about_process<SYS_ptrace, 1>);
    always(SYS_capget, straight<numbers::capget>);
    always(SYS_get_robust_list, straight<numbers::get_robust_list>);
    always(SYS_rt_sigqueueinfo, straight<numbers::queue_signal>);
    always(SYS_stat, looks_up<SYS_stat, 0>);
    always(SYS_lstat, looks_up<SYS_lstat, 0>);
    always(SYS_newfstatat, looks_up<SYS_newfstatat, 1, 0>);
    always(SYS_statx, looks_up<SYS_statx, 1, 0>);
    always(SYS_access, looks_up<SYS_access, 0>);
    always(SYS_faccessat, looks_up<SYS_faccessat, 1, 0>);
    always(SYS_faccessat2, looks_up<SYS_faccessat2, 1, 0>);
    always(SYS_readlink, reads_link<SYS_readlink, 0>);
    always(SYS_readlinkat, reads_link<SYS_readlinkat, 1, 0>);
    t[SYS_rt_sigaction] = {rt_sigaction, rt_sigaction, family::signal};
    return t;
}

constexpr std::array<entry, numbers> table = make_table();

} // namespace

policy find(long number) noexcept {
    const auto index = static_cast<unsigned>(number); // the kernel looks at no more either
    if (index >= numbers) return nullptr;
    const entry& e = table[index];
    if (e.served == nullptr) return nullptr;
    return e.served != e.otherwise && gate::open(e.of) ? e.served : e.otherwise;
}

long serve(long number, long a, long b, long c, long d, long e, long f) noexcept {
    const policy served = find(number);
    const arguments all{{a, b, c, d, e, f}};
    return served == nullptr ? make(number, all) : served(all);
}

} // namespace weft::shim::syscalls

using namespace weft::shim;

extern "C" {

// For syscall_entry.S.
[[gnu::visibility("hidden")]] extern decltype(&::syscall) weft_real_syscall;
constinit decltype(&::syscall) weft_real_syscall = nullptr;

[[gnu::visibility("hidden")]] long weft_syscall(long number, long a, long b, long c, long d, long e, long f) {
    return weft::shim::at_point<weft::shim::call::syscall>([=]() -> long {
        const trap::untrapped here;
        weft_real_syscall = real().syscall;
        const syscalls::policy served = syscalls::find(number);
        if (served == nullptr) return weft_real_syscall(number, a, b, c, d, e, f);
        const long result = served({{a, b, c, d, e, f}});
        return result < 0 && result > -4096 ? fail(static_cast<int>(-result)) : result;
    });
}

} // extern "C"
