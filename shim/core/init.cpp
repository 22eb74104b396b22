// SPDX-License-Identifier: Apache-2.0
// The shim's start, in order. Calls that come before it (from constructors that run earlier) are served by constant-initialised
// state alone: not on a fiber, so the real function. Only who makes a thread so early has the shim start then.
//
// 1. libweft.so is of our version, or we stop here.
// 2. libc's functions are resolved (an earlier call may have done it).
// 3. How we came in: preloaded or linked.
// 4. Options from the environment, families switched.
// 5. Signals.
// 6. Statistics, which see the process end.
// 7. The trap of system calls.
// 8. Forks.
// 9. Locks of FILEs, and what is written when the program exits.
// 10. Locks.
// 11. The runtime's part of a fork, after the shim's: before those of the program's handlers of forks that come later.

#include "core/init.hpp"

#include "calls/stdio.hpp"
#include "core/after_fork.hpp"
#include "calls/dns_cache.hpp"
#include "core/gate.hpp"
#include "core/real.hpp"
#include "core/shim_options.hpp"
#include "core/signals.hpp"
#include "core/trap.hpp"
#include "threads/green.hpp"
#include "threads/init.hpp"
#include "threads/workers.hpp"

#include "core/fork.hpp"
#include "core/hub.hpp"
#include "core/log.hpp"
#include "core/options.hpp"
#include "core/own_thread.hpp"
#include "core/sys.hpp"
#include <weft/version.hpp>

#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

extern "C" [[gnu::weak]] void __tsan_init();

namespace weft::shim {

namespace {

constexpr std::string_view library = "libweft-shim.so";

void refuse_other_version() noexcept {
    const std::string_view loaded = weft_version();
    if (loaded == version) return;
    rt::log_line line;
    line << "libweft-shim " << version << " found libweft " << loaded << ": install the same version of both";
    line.write();
    rt::sys::call(SYS_exit_group, 127);
}

/// Takes our entry out of LD_PRELOAD, so that children run bare.
void unfollow() noexcept {
    char* list = std::getenv("LD_PRELOAD");
    if (list == nullptr) return;
    char* out = list;
    for (char* p = list; *p != 0;) {
        const std::size_t separators = std::strspn(p, " :");
        const std::size_t word = std::strcspn(p + separators, " :");
        if (std::string_view(p + separators, word).find(library) == std::string_view::npos) {
            std::memmove(out, p, separators + word);
            out += separators + word;
        }
        p += separators + word;
    }
    *out = 0;
    if (*list == 0) ::unsetenv("LD_PRELOAD");
}

/// ThreadSanitizer takes fibers that it is not told of for a thread that goes mad.
void refuse_threads() noexcept {
    gate::switch_family(family::threads, false);
    rt::log_line line;
    line << "process " << rt::sys::getpid() << " is built with ThreadSanitizer: its threads stay kernel threads";
    line.write();
}

/// What `weft run` has put before us for this program alone.
void forget_what_came_first() noexcept {
    const char* const first = std::getenv("WEFT_BEFORE_SHIM");
    char* const list = std::getenv("LD_PRELOAD");
    if (first == nullptr) return;
    if (list != nullptr && std::string_view(list).starts_with(first)) std::memmove(list, list + std::strlen(first), std::strlen(list + std::strlen(first)) + 1);
    ::unsetenv("WEFT_BEFORE_SHIM");
}

} // namespace

void initialise() noexcept {
    static constinit bool done = false;
    if (std::exchange(done, true)) return;
    refuse_other_version(); // 1
    resolve_real();         // 2
    rt::make_kernel_thread = real().pthread_create;
    const char* preload = std::getenv("LD_PRELOAD");
    const bool preloaded = preload != nullptr && std::string_view(preload).find(library) != std::string_view::npos; // 3
    rt::process_options().preloaded = gate::preloaded_ = preloaded;
    const shim_options options = read_options(); // 4
    if (preloaded) gate::families_.store(~std::uint32_t{0}, std::memory_order_relaxed);
    if (preloaded && &__tsan_init != nullptr) refuse_threads();
    gate::families_.fetch_and(~options.families_off, std::memory_order_relaxed);
    rt::process_options().verbose = options.verbose;
    if (options.always_serve) gate::always_serve();
    if (preloaded && gate::is_on(family::threads)) rt::hub::give_loops_frames();
    if (preloaded) workers::number(options.workers);
    green::most(options.max_threads);
    green::stack_default(options.stack_size);
    dns_cache::keep_for(options.dns_cache);
    if (preloaded) forget_what_came_first();
    if (preloaded && !options.follow) unfollow();
    signals::initialise(); // 5
    if (options.stats) stats::start(); // 6
    trap::initialise();    // 7
    if (options.inner_threads) trap::forbid();
    if (options.trap) trap::trap_fibers();
    watch_forks();       // 8
    stdio::initialise(); // 9
    locks::initialise(); // 10
    rt::watch_forks();   // 11
    if (options.verbose) {
        rt::log_line line;
        line << "libweft-shim " << version << (preloaded ? " preloaded" : " linked") << " into process "
             << rt::sys::getpid();
        line.write();
    }
}

namespace {

[[gnu::constructor(101)]] void start() noexcept { initialise(); }

} // namespace

} // namespace weft::shim
