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
#include "calls/signal_mask.hpp"
#include "calls/signal_wait.hpp"
#include "calls/splice.hpp"
#include "calls/time.hpp"
#include "calls/wait.hpp"
#include "core/alternate_stack.hpp"
#include "core/real.hpp"
#include "core/serve.hpp"
#include "core/trap.hpp"
#include "threads/futex.hpp"
#include "threads/names.hpp"
#include "threads/scheduling.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <type_traits>
#include <utility>

#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 // Linux 5.16
#endif

namespace weft::shim::syscalls {

namespace {

// --- A function with libc's conventions as a policy ---

template <class T>
T from_register(long value) noexcept {
    if constexpr (std::is_pointer_v<T>) return reinterpret_cast<T>(value);
    else return static_cast<T>(value);
}

template <class R>
long result_of(R result) noexcept {
    return result == static_cast<R>(-1) ? -errno : static_cast<long>(result);
}

template <class R, class... P, std::size_t... I>
long apply(R (*function)(P...) noexcept, const arguments& a, std::index_sequence<I...>) noexcept {
    return result_of(function(from_register<P>(a[I])...));
}

template <class R, class... P>
long apply(R (*function)(P...) noexcept, const arguments& a) noexcept {
    return apply(function, a, std::index_sequence_for<P...>());
}

template <auto function>
long plain(const arguments& a) noexcept {
    return apply(function, a);
}

/// The kernel's own, made on this kernel thread.
long make(long number, const arguments& a) noexcept {
    return rt::sys::call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

// --- Waiting, where the kernel's interface is not libc's ---

constexpr long mask_size = 8;

bool fits(long mask, long size) noexcept { return mask == 0 || size == mask_size; }

/// The kernel writes back what is left of a time-out; where it cannot, it says nothing.
class time_left {
public:
    explicit time_left(long timeout) noexcept : to_(from_register<timespec*>(timeout)), start_(std::chrono::steady_clock::now()) {
        const int saved_errno = errno;
        used_ = to_ != nullptr && copy_from_caller(&whole_, to_, sizeof whole_) && (whole_.tv_sec != 0 || whole_.tv_nsec != 0);
        errno = saved_errno;
    }
    /// Passes a result on.
    long operator()(long result) const noexcept {
        if (!used_ || result == -EINVAL || result == -EFAULT) return result;
        const std::int64_t gone = std::chrono::nanoseconds(std::chrono::steady_clock::now() - start_).count();
        constexpr std::int64_t second = 1'000'000'000;
        timespec rest{whole_.tv_sec - gone / second, whole_.tv_nsec - gone % second};
        if (rest.tv_nsec < 0) {
            rest.tv_nsec += second;
            --rest.tv_sec;
        }
        if (rest.tv_sec < 0) rest = {};
        const errno_of_success success;
        copy_to_caller(to_, &rest, sizeof rest);
        return success(result);
    }

private:
    timespec* const to_;
    const std::chrono::steady_clock::time_point start_;
    timespec whole_{};
    bool used_ = false;
};

long ppoll(const arguments& a) noexcept {
    if (!fits(a[3], a[4])) return make(SYS_ppoll, a); // it will say what is wrong
    const time_left left(a[2]);
    return left(plain<polling::ppoll>(a));
}

long pselect6(const arguments& a) noexcept {
    struct {
        long mask, size;
    } pair{};
    const bool readable = a[5] == 0 || copy_from_caller(&pair, from_register<const void*>(a[5]), sizeof pair);
    if (!readable || !fits(pair.mask, pair.size)) return make(SYS_pselect6, a);
    const time_left left(a[4]);
    return left(plain<polling::pselect>({{a[0], a[1], a[2], a[3], a[4], pair.mask}}));
}

long epoll_pwait(const arguments& a) noexcept {
    return fits(a[4], a[5]) ? plain<polling::epoll_pwait>(a) : make(SYS_epoll_pwait, a);
}

long epoll_pwait2(const arguments& a) noexcept {
    return fits(a[4], a[5]) ? plain<polling::epoll_pwait2>(a) : make(SYS_epoll_pwait2, a);
}

long rt_sigsuspend(const arguments& a) noexcept { return a[1] == mask_size ? plain<signal_wait::suspend>(a) : make(SYS_rt_sigsuspend, a); }

long rt_sigtimedwait(const arguments& a) noexcept {
    return a[3] == mask_size ? plain<signal_wait::timed_wait>(a) : make(SYS_rt_sigtimedwait, a);
}

/// Locks have one protocol for fibers and threads, so these are served everywhere.
long futex(const arguments& a) noexcept {
    return futex::serve(from_register<std::uint32_t*>(a[0]), static_cast<int>(a[1]), static_cast<std::uint32_t>(a[2]),
                        from_register<const timespec*>(a[3]), from_register<std::uint32_t*>(a[4]), static_cast<std::uint32_t>(a[5]));
}

long futex_waitv(const arguments& a) noexcept {
    return futex::serve_waitv(from_register<const void*>(a[0]), static_cast<unsigned>(a[1]), static_cast<unsigned>(a[2]),
                              from_register<const timespec*>(a[3]), static_cast<clockid_t>(a[4]));
}

/// libc's function returns the error, and has one word for what the kernel tells apart.
long clock_nanosleep(const arguments& a) noexcept {
    const long error = apply(time::clock_nanosleep, a);
    return error == EINVAL ? make(SYS_clock_nanosleep, a) : -error;
}

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

// --- Signals ---

/// rt_sigaction(2)'s own layout.
struct kernel_action {
    sighandler_t handler;
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
};

/// libc keeps two for itself and refuses them; the kernel does not.
bool is_program_signal(long number) noexcept { return number < 32 || number > 33; }

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

template <long number>
long scheduling(const arguments& a) noexcept {
    return sched::call(number, a[0], a[1], a[2], a[3]);
}

long clock_gettime(const arguments& a) noexcept {
    return cpu_time::clock_gettime(static_cast<clockid_t>(a[0]), from_register<timespec*>(a[1]));
}
long clock_getres(const arguments& a) noexcept { return cpu_time::clock_getres(static_cast<clockid_t>(a[0]), from_register<timespec*>(a[1])); }
long getrusage(const arguments& a) noexcept { return cpu_time::getrusage(static_cast<int>(a[0]), from_register<rusage*>(a[1])); }

/// What the kernel keeps for the end of a thread: of a kernel thread's, not of those that it carries.
long set_tid_address(const arguments& a) noexcept { return green::self() != nullptr ? tid::mine() : make(SYS_set_tid_address, a); }

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
    t[SYS_open] = {receives_served<opening::open>, receives<SYS_open>, family::io};
    t[SYS_openat] = {receives_served<opening::openat>, receives<SYS_openat>, family::io};
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
    notes(SYS_perf_event_open, makes<SYS_perf_event_open>);
    notes(SYS_pidfd_open, makes<SYS_pidfd_open>);
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
