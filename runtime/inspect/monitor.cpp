// SPDX-License-Identifier: Apache-2.0
#include <weft/inspect.hpp>

#include "core/fork.hpp"
#include "core/hub.hpp"
#include "core/log.hpp"
#include "core/registry.hpp"
#include "core/sys.hpp"
#include "inspect/stopped_thread.hpp"

#include <weft/event.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <pthread.h>

namespace weft {

struct monitor::state {
    explicit state(monitor_options o) : options(std::move(o)) {}
    const monitor_options options;
    event stop, ended;
    std::atomic<std::uint64_t> reports{0};
    unsigned generation = rt::fork_generation();

    void run() noexcept;

private:
    /// What was seen of a hub.
    struct sight {
        const rt::hub* hub = nullptr;
        std::uint64_t turn = 0;
        std::int64_t since = 0;
        bool reported = false;
        bool seen = false; // this time
    };
    /// A hub whose fiber is too long about it.
    struct found {
        std::uint64_t fiber = 0;
        char name[64] = {};
        bool is_main = false;
        std::int64_t since = 0;
        rt::frames stands{};
        const char* failure = nullptr;
    };

    void look(std::vector<sight>& sights, found* into, std::size_t room, std::size_t& used) noexcept;
    static bool look_at(rt::hub& h, std::uint64_t turn, found& f) noexcept;
    void tell(const found& f);
};

/// The registry's lock is held: no hub ends meanwhile. Nothing is allocated while a thread stands still.
bool monitor::state::look_at(rt::hub& h, std::uint64_t turn, found& f) noexcept {
    const rt::stopped_thread thread(h.carrier_tid());
    if (h.turns() != turn || h.is_asleep()) return false; // it has gone on meanwhile
    const rt::fiber_core* who = h.holder();
    f.failure = thread.failure();
    f.fiber = who->id; // its memory is the hub's for good, if perhaps no longer its own where the thread runs on
    if (f.failure != nullptr) return true;
    f.is_main = who == &h.main_fiber();
    std::memcpy(f.name, who->name.data(), std::min(who->name.size(), sizeof f.name - 1));
    rt::unwind(thread.where(), f.stands);
    return true;
}

void monitor::state::look(std::vector<sight>& sights, found* into, std::size_t room, std::size_t& used) noexcept {
    const std::int64_t now = rt::now_ns();
    const std::lock_guard hold(rt::hub_registry::lock());
    for (sight& s : sights) s.seen = false;
    rt::hub_registry::for_each([&](rt::hub& h) {
        auto s = std::find_if(sights.begin(), sights.end(), [&](const sight& one) { return one.hub == &h; });
        if (s == sights.end()) {
            if (sights.size() == sights.capacity()) return; // more than was made room for: the next time
            s = sights.insert(sights.end(), sight{&h, h.turns(), now, false, true});
        }
        s->seen = true;
        const std::uint64_t turn = h.turns();
        if (turn != s->turn || h.is_asleep()) {
            *s = sight{&h, turn, now, false, true};
            return;
        }
        if (s->reported || now - s->since < options.max_blocking_time.count() || used == room) return;
        s->reported = true;
        found& f = into[used];
        f = found{};
        f.since = s->since;
        if (look_at(h, turn, f)) ++used;
    });
    std::erase_if(sights, [](const sight& s) { return !s.seen; });
}

void monitor::state::tell(const found& f) {
    blocking_report r;
    r.fiber = f.fiber;
    r.name = f.name[0] != 0 ? f.name : f.is_main ? "main" : "fiber-" + std::to_string(f.fiber);
    r.blocked_for = std::chrono::nanoseconds(rt::now_ns() - f.since);
    r.backtrace = f.failure != nullptr ? std::string("    no backtrace: ") + f.failure + '\n' : rt::describe(f.stands, "    ");
    reports.fetch_add(1, std::memory_order_relaxed);
    if (options.report) {
        options.report(r);
        return;
    }
    const std::string text = "weft: fiber " + std::to_string(r.fiber) + " (" + r.name + ") has kept its hub for " +
                             std::to_string(r.blocked_for.count() / 1'000'000) + " ms:\n" + r.backtrace;
    rt::sys::call(SYS_write, 2, rt::sys::arg(text.data()), static_cast<long>(text.size()));
}

void monitor::state::run() noexcept {
    constexpr std::size_t most_at_once = 8;
    constexpr std::chrono::nanoseconds longest_look = std::chrono::milliseconds(25), shortest_look = std::chrono::milliseconds(1);
    const auto pause = std::clamp(options.max_blocking_time / 4, shortest_look, longest_look);
    std::vector<sight> sights;
    std::vector<found> finds(most_at_once);
    while (!stop.wait(pause)) {
        std::size_t used = 0;
        sights.reserve(sights.size() + 64);
        look(sights, finds.data(), finds.size(), used);
        for (std::size_t i = 0; i < used; ++i) tell(finds[i]);
    }
}

monitor::monitor(monitor_options options) {
    if (options.max_blocking_time <= std::chrono::nanoseconds(0)) throw std::invalid_argument("weft: a monitor of no time");
    state_ = std::make_shared<state>(std::move(options));
    rt::watch_forks();
    const rt::inside_weft inside;
    const std::uint64_t all = ~(std::uint64_t{3} << 31); // but for libc's own two
    std::uint64_t before = 0;
    auto* given = new std::shared_ptr<state>(state_);
    pthread_attr_t detached;
    ::pthread_attr_init(&detached);
    ::pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    rt::sys::call(SYS_rt_sigprocmask, SIG_SETMASK, rt::sys::arg(&all), rt::sys::arg(&before), sizeof all);
    pthread_t thread{};
    const int error = ::pthread_create(&thread, &detached, [](void* p) -> void* {
        const rt::helper_thread counted;
        rt::this_thread_state.inside = 1; // whatever it calls is libc's
        ::pthread_setname_np(::pthread_self(), "weft-monitor");
        const std::unique_ptr<std::shared_ptr<state>> mine(static_cast<std::shared_ptr<state>*>(p));
        (*mine)->run();
        (*mine)->ended.set();
        return nullptr;
    }, given);
    rt::sys::call(SYS_rt_sigprocmask, SIG_SETMASK, rt::sys::arg(&before), 0, sizeof before);
    ::pthread_attr_destroy(&detached);
    if (error == 0) return;
    delete given;
    throw std::system_error(error, std::generic_category(), "weft: the thread of a monitor");
}

monitor::~monitor() {
    if (state_->generation != rt::fork_generation()) return; // its thread is the parent's
    const rt::no_interruption whole;
    state_->stop.set();
    rt::job_begins(); // the thread ends, and says so
    state_->ended.wait();
    rt::job_ends();
}

std::uint64_t monitor::reports() const noexcept { return state_->reports.load(std::memory_order_relaxed); }
std::chrono::nanoseconds monitor::max_blocking_time() const noexcept { return state_->options.max_blocking_time; }

} // namespace weft
