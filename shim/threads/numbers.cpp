// SPDX-License-Identifier: Apache-2.0
#include "threads/numbers.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"
#include "threads/robust.hpp"
#include "threads/task_list.hpp"

#include "core/carrier.hpp"
#include "core/sys.hpp"
#include <weft/export.hpp>

#include <cerrno>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/uio.h>

namespace weft::shim::numbers {

namespace {

using rt::sys::arg;
using rt::sys::call;

bool is_living(pid_t number) noexcept { return tid::is_green(number) && tid::lives(number); }

} // namespace

long setpgid(pid_t process, pid_t group) noexcept {
    if (is_living(process)) return -EINVAL; // not a process's first thread
    return call(SYS_setpgid, process, group);
}

long pidfd_open(pid_t process, unsigned flags) noexcept {
    const long result = call(SYS_pidfd_open, process, flags);
    if (result != -ESRCH || !is_living(process)) return result;
    if ((flags & ~unsigned{O_NONBLOCK}) != 0) return -EINVAL; // PIDFD_THREAD, as on kernels before 6.9
    // Kernels differ in what they say of a thread that is not its process's first.
    int other = 0;
    task_list::kernel_threads(true, [](int number, void* to) noexcept { *static_cast<int*>(to) = number; }, &other);
    if (other == 0) return -EINVAL;
    const long said = call(SYS_pidfd_open, other, flags);
    if (said < 0) return said == -ESRCH ? -EINVAL : said;
    call(SYS_close, said);
    return -EINVAL;
}

long capget(void* header, void* data) noexcept {
    __user_cap_header_struct given{};
    if (!copy_from_caller(&given, header, sizeof given) || !is_living(given.pid)) return call(SYS_capget, arg(header), arg(data));
    __user_cap_header_struct ours{given.version, given.pid == tid::mine() ? 0 : rt::sys::getpid()};
    const long result = call(SYS_capget, arg(&ours), arg(data));
    if (ours.version == given.version) return result;
    given.version = ours.version; // the one that the kernel has
    return copy_to_caller(header, &given, sizeof given.version) ? result : -EFAULT;
}

long get_robust_list(pid_t thread, void** head, std::size_t* size) noexcept {
    const bool mine = thread == 0 && green::self() != nullptr;
    void* its = nullptr;
    if (mine || tid::is_green(thread))
        tid::with(thread, [&](const green_thread& t) { its = robust::head_of(reinterpret_cast<char*>(t.id)); });
    if (its == nullptr) return call(SYS_get_robust_list, thread, arg(head), arg(size));
    const std::size_t bytes = robust::head_size;
    if (!copy_to_caller(size, &bytes, sizeof bytes)) return -EFAULT;
    return copy_to_caller(head, &its, sizeof its) ? 0 : -EFAULT;
}

long queue_signal(pid_t process, int signal, siginfo_t* info) noexcept {
    if (tid::is_green(process)) tid::with(process, [&](const green_thread& t) { process = rt::kernel_thread_of(*t.fiber); });
    return call(SYS_rt_sigqueueinfo, process, signal, arg(info));
}

long perf_event_open(void* attributes, pid_t thread, int processor, int group, unsigned long flags) noexcept {
    // What a thread counts while its kernel thread runs it; for the kernel nothing else can be told apart.
    if (tid::is_green(thread)) tid::with(thread, [&](const green_thread& t) { thread = rt::kernel_thread_of(*t.fiber); });
    return call(SYS_perf_event_open, arg(attributes), thread, processor, group, static_cast<long>(flags));
}

namespace {

int libc(long result) noexcept {
    if (result >= 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}

/// libc's function, whose first argument is the number.
template <shim::call c, class... A>
auto first(pid_t number, A... rest) noexcept {
    return real_of<c>()(static_cast<pid_t>(for_kernel(number)), rest...);
}

int set_group(pid_t process, pid_t group) noexcept { return libc(numbers::setpgid(process, group)); }
int capabilities(void* header, void* data) noexcept { return libc(numbers::capget(header, data)); }
int queue(pid_t process, int signal, sigval value) noexcept {
    if (tid::is_green(process)) tid::with(process, [&](const green_thread& t) { process = rt::kernel_thread_of(*t.fiber); });
    return real().sigqueue(process, signal, value);
}

} // namespace

int open_process(pid_t process, unsigned flags) noexcept { return libc(numbers::pidfd_open(process, flags)); }

} // namespace weft::shim::numbers

using weft::shim::call;
using weft::shim::serve_thread;
namespace numbers = weft::shim::numbers;

extern "C" {

WEFT_API pid_t getpgid(pid_t process) noexcept { return serve_thread<call::getpgid>(numbers::first<call::getpgid>, process); }
WEFT_API pid_t __getpgid(pid_t process) noexcept { return serve_thread<call::__getpgid>(numbers::first<call::__getpgid>, process); }
WEFT_API pid_t getsid(pid_t process) noexcept { return serve_thread<call::getsid>(numbers::first<call::getsid>, process); }
WEFT_API int setpgid(pid_t process, pid_t group) noexcept { return serve_thread<call::setpgid>(numbers::set_group, process, group); }
WEFT_API int __setpgid(pid_t process, pid_t group) noexcept { return serve_thread<call::__setpgid>(numbers::set_group, process, group); }
WEFT_API int prlimit(pid_t process, __rlimit_resource resource, const rlimit* wanted, rlimit* old) noexcept {
    constexpr auto limit = numbers::first<call::prlimit, __rlimit_resource, const rlimit*, rlimit*>;
    return serve_thread<call::prlimit>(limit, process, resource, wanted, old);
}
WEFT_API int prlimit64(pid_t process, __rlimit_resource resource, const rlimit64* wanted, rlimit64* old) noexcept {
    constexpr auto limit = numbers::first<call::prlimit64, __rlimit_resource, const rlimit64*, rlimit64*>;
    return serve_thread<call::prlimit64>(limit, process, resource, wanted, old);
}
WEFT_API ssize_t process_vm_readv(pid_t process, const iovec* to, unsigned long n, const iovec* from, unsigned long m,
                                  unsigned long flags) noexcept {
    constexpr auto copy = numbers::first<call::process_vm_readv, const iovec*, unsigned long, const iovec*, unsigned long, unsigned long>;
    return serve_thread<call::process_vm_readv>(copy, process, to, n, from, m, flags);
}
WEFT_API ssize_t process_vm_writev(pid_t process, const iovec* from, unsigned long n, const iovec* to, unsigned long m,
                                   unsigned long flags) noexcept {
    constexpr auto copy = numbers::first<call::process_vm_writev, const iovec*, unsigned long, const iovec*, unsigned long, unsigned long>;
    return serve_thread<call::process_vm_writev>(copy, process, from, n, to, m, flags);
}
WEFT_API int capget(void* header, void* data) noexcept { return serve_thread<call::capget>(numbers::capabilities, header, data); }
WEFT_API int sigqueue(pid_t process, int signal, sigval value) noexcept {
    return serve_thread<call::sigqueue>(numbers::queue, process, signal, value);
}

} // extern "C"
