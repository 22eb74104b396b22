// SPDX-License-Identifier: Apache-2.0
#include "threads/kill.hpp"

#include "core/serve.hpp"
#include "core/signal_actions.hpp"
#include "core/signal_handlers.hpp"
#include "core/signal_nudge.hpp"
#include "core/signals.hpp"
#include "threads/green.hpp"
#include "threads/identity.hpp"

#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include <weft/export.hpp>

#include <cerrno>

#include <unistd.h>

namespace weft::shim::green {

namespace {

using signals::bit;
using signals::bits;
using signals::receiver;

receiver& receiver_of(const green_thread& t) noexcept {
    auto* const frame = reinterpret_cast<char*>(t.id);
    return *reinterpret_cast<receiver*>(frame + (reinterpret_cast<char*>(&signals::mine) - static_cast<char*>(__builtin_thread_pointer())));
}

bool is_number(int number) noexcept { return number >= 0 && number <= signals::last_number && (number == 0 || (bit(number) & signals::libcs_own) == 0); }

bool ignored_by_default(int number) noexcept { return number == SIGCHLD || number == SIGURG || number == SIGWINCH; }

} // namespace

siginfo_t sent_by_us(int number) noexcept {
    siginfo_t info{};
    info.si_signo = number;
    info.si_code = SI_TKILL;
    info.si_pid = rt::sys::getpid();
    info.si_uid = static_cast<uid_t>(rt::sys::call(SYS_getuid));
    return info;
}

int send(green_thread& to, int number, const siginfo_t& info) noexcept {
    if (!is_number(number) || is_the_parents(to)) return EINVAL;
    if (number == 0) return 0;
    const int saved_errno = errno;
    receiver& r = receiver_of(to);
    receiver* const me = signals::self();
    struct sigaction a {};
    if (signals::action(number, nullptr, &a) != 0) a = {}; // SIGKILL and its kin
    errno = saved_errno;
    bool to_kernel = false, kept = true;
    bool elsewhere = false; // it runs on another kernel thread, and may never wait
    {
        const signals::deciding now;
        if (r.fiber == nullptr) return 0; // it has ended
        const bool acts = r.takes(bit(number)) && (r.accepts & bit(number)) == 0 && !signals::is_handler(a);
        if (!acts) kept = signals::record(&r, info, false);
        if (signals::is_handler(a) && (r.mask & bit(number)) == 0) elsewhere = signals::runs_elsewhere(r) != 0;
        if (acts) to_kernel = a.sa_handler == SIG_DFL && !ignored_by_default(number);
    }
    if (!kept) return EAGAIN;
    if (elsewhere) signals::nudge_there(r, number);
    // What is done to the process is done by the kernel; it does not block what this thread does not.
    if (to_kernel) rt::sys::call(SYS_tgkill, rt::sys::getpid(), rt::sys::gettid(), number);
    if (me == &r && !me->waiting && me->attention.load(std::memory_order_relaxed)) signals::run_pending(*me, true);
    else if (me != nullptr && me != &r && rt::this_thread_state.inside == 0 && rt::signals_posted.load(std::memory_order_relaxed))
        rt::interrupt_posted(*rt::hub::current());
    return 0;
}

int kill(pthread_t thread, int number) noexcept {
    green_thread* const t = of(thread);
    return t == nullptr ? real().pthread_kill(thread, number) : send(*t, number, sent_by_us(number));
}

int queue(pthread_t thread, int number, sigval value) noexcept {
    green_thread* const t = of(thread);
    if (t == nullptr) return real().pthread_sigqueue(thread, number, value);
    siginfo_t info = sent_by_us(number);
    info.si_code = SI_QUEUE;
    info.si_value = value;
    return send(*t, number, info);
}

int raise(int number) noexcept {
    green_thread* const me = self();
    if (me == nullptr || signals::own_masks() == nullptr) return real().raise(number);
    const int error = send(*me, number, sent_by_us(number));
    if (error == 0) return 0;
    errno = error;
    return -1;
}

} // namespace weft::shim::green

using weft::shim::call;
using weft::shim::serve_thread;
namespace policy = weft::shim::green;

extern "C" {

WEFT_API int pthread_kill(pthread_t thread, int number) noexcept { return serve_thread<call::pthread_kill>(policy::kill, thread, number); }
WEFT_API int pthread_sigqueue(pthread_t thread, int number, const sigval value) noexcept {
    return serve_thread<call::pthread_sigqueue>(policy::queue, thread, number, value);
}
WEFT_API int raise(int number) noexcept { return serve_thread<call::raise>(policy::raise, number); }
WEFT_API int gsignal(int number) noexcept { return serve_thread<call::gsignal>(policy::raise, number); }

} // extern "C"
