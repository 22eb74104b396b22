// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a green thread has for a tid. The main thread's is the process's, as ever. The others' are numbers that the kernel gives to nobody,
// above all that pid_max allows, and none is given twice while its thread lives. Calls about a thread that is named by such a number are
// served; of any other the kernel says ESRCH.

#include "threads/green.hpp"

#include <mutex>
#include <type_traits>

#include <signal.h>
#include <sys/types.h>

namespace weft::shim::tid {

constexpr int first = 1 << 24, last = (1 << 28) - 1; // what the number of a processor clock has room for

/// A number for a new thread.
int next() noexcept;

/// gettid(2), for anybody.
pid_t mine() noexcept;

/// Whether this may be a green thread's number: not 0, and not main's.
constexpr bool is_green(pid_t number) noexcept { return number >= first && number <= last; }

/// Calls f(green_thread&) with the thread of that number, which does not end meanwhile; 0: the caller. False: none of ours has it.
/// f must not wait.
template <class F>
bool with(pid_t number, F f) noexcept {
    green_thread* const me = green::self();
    if (me != nullptr && (number == 0 || number == me->tid)) {
        f(*me);
        return true;
    }
    if (me == nullptr && green::count() == 0) return false;
    struct search {
        pid_t number;
        F& f;
        bool found = false;
    } s{number, f};
    green::for_each(
        [](green_thread& t, void* argument) {
            auto& in = *static_cast<search*>(argument);
            if (t.tid != in.number || in.found) return;
            in.found = true;
            in.f(t);
        },
        &s);
    return s.found;
}

/// Whether one of ours has it.
inline bool lives(pid_t number) noexcept {
    return with(number, [](green_thread&) {});
}

/// kill(2): any thread's number means its process.
long kill_process(pid_t process, int signal) noexcept;

/// tgkill(2), tkill(2), rt_tgsigqueueinfo(2): the kernel's result.
long kill(pid_t process, pid_t number, int signal, const siginfo_t* info) noexcept;

} // namespace weft::shim::tid
