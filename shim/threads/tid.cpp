// SPDX-License-Identifier: Apache-2.0
#include "threads/tid.hpp"

#include "core/serve.hpp"
#include "threads/table.hpp"

#include "core/carrier.hpp"
#include "core/interruption.hpp"
#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include <weft/export.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

namespace weft::shim::tid {

namespace {

constinit std::atomic<std::uint32_t> given{0};
constexpr std::uint32_t count = last - first + 1;

} // namespace

int next() noexcept {
    for (;;) {
        const std::uint32_t n = given.fetch_add(1, std::memory_order_relaxed);
        const int number = first + static_cast<int>(n % count);
        if (n < count || !with(number, [](green_thread&) {})) return number;
    }
}

pid_t mine() noexcept {
    const green_thread* const me = green::self();
    return me != nullptr ? me->tid : rt::sys::gettid();
}

long kill_process(pid_t process, int signal) noexcept {
    // The kernel, too, gives it to the thread of that number first.
    if (is_green(process)) with(process, [&](const green_thread& t) { process = rt::kernel_thread_of(*t.fiber); });
    const int saved_errno = errno;
    // From libc's code, where the signal may interrupt the program.
    if (real().kill(process, signal) != 0) return -std::exchange(errno, saved_errno);
    // Another thread that is to take it would do so at once, on another processor.
    if (rt::signals_posted.load(std::memory_order_relaxed) && may_suspend()) {
        rt::interrupt_posted(*rt::hub::current());
        rt::yield_quietly();
    }
    return 0;
}

long kill(pid_t process, pid_t number, int signal, const siginfo_t* info) noexcept {
    using rt::sys::call;
    pthread_t found = 0;
    const bool here = is_green(number) && (process == -1 || process == rt::sys::getpid()) &&
                      with(number, [&](const green_thread& t) { found = t.id; });
    if (here) {
        if (signal < 0 || signal > 64) return -EINVAL;
        if (signal == 0) return 0;
        if (info == nullptr) return -::pthread_kill(found, signal);
        return -::pthread_sigqueue(found, signal, info->si_value);
    }
    if (info != nullptr) return call(SYS_rt_tgsigqueueinfo, process, number, signal, rt::sys::arg(info));
    return process == -1 ? call(SYS_tkill, number, signal) : call(SYS_tgkill, process, number, signal);
}

} // namespace weft::shim::tid

using weft::shim::call;
using weft::shim::serve_thread;
namespace tid = weft::shim::tid;

extern "C" {

WEFT_API pid_t gettid() noexcept { return serve_thread<call::gettid>(tid::mine); }
WEFT_API int kill(pid_t process, int signal) noexcept {
    const long result = serve_thread<call::kill>(tid::kill_process, process, signal);
    if (result < 0) errno = static_cast<int>(-result);
    return result < 0 ? -1 : 0;
}
WEFT_API int tgkill(pid_t process, pid_t number, int signal) noexcept {
    const long result = serve_thread<call::tgkill>(tid::kill, process, number, signal, static_cast<const siginfo_t*>(nullptr));
    if (result < 0) errno = static_cast<int>(-result);
    return result < 0 ? -1 : 0;
}

} // extern "C"
