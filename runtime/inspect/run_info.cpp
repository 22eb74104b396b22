// SPDX-License-Identifier: Apache-2.0
// print_run_info: each hub notes down its own fibers, where they stand still; the caller sorts and prints.
#include <weft/inspect.hpp>

#include "core/hub.hpp"
#include "core/registry.hpp"
#include "inspect/backtrace.hpp"

#include <weft/event.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <ostream>
#include <vector>

namespace weft {

namespace rt {

namespace {

constexpr std::chrono::milliseconds patience{200};

struct noted_fiber {
    std::uint64_t id, parent;
    fiber_state state;
    bool is_main, runs_here, is_started, is_killed;
    const char* what;
    const void* object;
    std::int64_t since;
    char name[64];
    frames stands;
};

/// What one hub says of itself. It is filled in by the hub; room is made before.
struct hub_report : hub_task {
    std::vector<noted_fiber> fibers;
    std::size_t used = 0, live = 0;
    std::uint64_t switches = 0, timers = 0;
    int tid = 0;
    std::int64_t now = 0;
    event done;
    hub* from = nullptr;
    bool answered = false;

    void note(hub& h) noexcept {
        used = 0;
        live = h.live_fibers();
        switches = h.counters().switches;
        timers = h.timer_count();
        tid = h.home_tid();
        now = now_ns();
        for (fiber_core* f = h.first_fiber(); f != nullptr && used < fibers.size(); f = f->registry_next) note(fibers[used++], *f);
    }

private:
    static void note(noted_fiber& n, fiber_core& f) noexcept {
        n.id = f.id;
        n.parent = f.parent_id;
        n.state = f.state.load(std::memory_order_relaxed);
        n.is_main = f.is_main();
        n.runs_here = &f == this_thread_state.running;
        n.is_started = f.started.load(std::memory_order_relaxed);
        n.is_killed = f.kill_pending.load(std::memory_order_relaxed);
        n.what = n.state == fiber_state::parked ? f.what : nullptr;
        n.object = f.object;
        n.since = f.waiting_since;
        {
            const std::lock_guard hold(f.guard());
            std::strncpy(n.name, f.name.c_str(), sizeof n.name - 1);
            n.name[sizeof n.name - 1] = 0;
        }
        n.stands.count = 0;
        if (n.runs_here) unwind_here(n.stands);
        else if (n.is_started && (n.state == fiber_state::parked || n.state == fiber_state::ready)) unwind(f.machine, n.stands);
    }
};

const char* name_of(const noted_fiber& f) noexcept {
    switch (f.is_started ? f.state : fiber_state::fresh) {
    case fiber_state::fresh: return "not started";
    case fiber_state::ready: return "ready";
    case fiber_state::running: return "running";
    case fiber_state::parked: return "waits";
    case fiber_state::done: return "ended";
    }
    return "?";
}

std::string line_of(const noted_fiber& f, std::int64_t now, bool orphan) {
    std::string text = "fiber " + std::to_string(f.id);
    if (f.is_main) text += " (main)";
    if (f.name[0] != 0) text += std::string(" \"") + f.name + '"';
    if (orphan) text += ", spawned by fiber " + std::to_string(f.parent) + " which has ended";
    text += f.runs_here ? ": running, the caller" : std::string(": ") + name_of(f);
    if (f.is_killed) text += ", is to be killed";
    if (f.state != fiber_state::parked) return text;
    text += " for ";
    text += f.what == nullptr ? "something" : f.what;
    char part[48];
    if (f.object != nullptr) {
        const auto value = reinterpret_cast<std::uintptr_t>(f.object);
        const bool is_fd = f.what != nullptr && std::strcmp(f.what, "a descriptor") == 0;
        std::snprintf(part, sizeof part, is_fd ? " %zu" : " 0x%zx", static_cast<std::size_t>(value));
        text += part;
    }
    std::snprintf(part, sizeof part, " since %.3f s", static_cast<double>(std::max<std::int64_t>(now - f.since, 0)) / 1e9);
    return text + part;
}

class tree {
public:
    tree(const hub_report& r, std::ostream& out) : report_(r), out_(out) {
        for (std::size_t i = 0; i < r.used; ++i) place_[r.fibers[i].id] = i;
        for (std::size_t i = 0; i < r.used; ++i) {
            const noted_fiber& f = r.fibers[i];
            if (f.is_main || !place_.contains(f.parent) || f.parent >= f.id) roots_.push_back(i);
            else children_[f.parent].push_back(i);
        }
    }
    void print() {
        for (const std::size_t i : roots_) print(i, "", i == roots_.back(), !report_.fibers[i].is_main);
    }

private:
    void print(std::size_t i, const std::string& indent, bool last, bool orphan) { // as deep as fibers spawned each other
        const noted_fiber& f = report_.fibers[i];
        out_ << indent << "+- " << line_of(f, report_.now, orphan) << '\n';
        const std::string below = indent + (last ? "   " : "|  ");
        const auto found = children_.find(f.id);
        const bool parent = found != children_.end();
        out_ << describe(f.stands, (below + (parent ? "|     " : "      ")).c_str());
        if (!parent) return;
        for (const std::size_t c : found->second) print(c, below, c == found->second.back(), false);
    }

    const hub_report& report_;
    std::ostream& out_;
    std::map<std::uint64_t, std::size_t> place_;
    std::map<std::uint64_t, std::vector<std::size_t>> children_;
    std::vector<std::size_t> roots_;
};

/// Asks every hub but the caller's own, all at once.
std::vector<std::unique_ptr<hub_report>> ask_others(std::size_t room) {
    std::vector<std::unique_ptr<hub_report>> reports;
    std::size_t count = 0;
    {
        const std::lock_guard hold(hub_registry::lock());
        hub_registry::for_each([&](hub&) { ++count; });
    }
    for (std::size_t i = 0; i < count; ++i) {
        reports.push_back(std::make_unique<hub_report>());
        reports.back()->fibers.resize(room);
        reports.back()->run = [](hub_task& self, hub& h) noexcept {
            auto& r = static_cast<hub_report&>(self);
            r.note(h);
            r.done.set();
        };
    }
    {
        const std::lock_guard hold(hub_registry::lock()); // no hub ends without answering
        std::size_t i = 0;
        hub_registry::for_each([&](hub& h) {
            if (&h == hub::current() || i == count) return;
            reports[i]->from = &h;
            reports[i]->tid = h.home_tid();
            h.post(*reports[i++]);
        });
        reports.resize(i);
    }
    const no_interruption whole; // the reports are here
    const deadline until = patience;
    for (const auto& r : reports) {
        if (r->done.wait(until)) {
            r->answered = true;
            continue;
        }
        bool taken_back = false;
        {
            const std::lock_guard hold(hub_registry::lock());
            hub_registry::for_each([&](hub& h) { taken_back |= &h == r->from && h.withdraw(*r); });
        }
        if (!taken_back) {
            r->done.wait();
            r->answered = true;
        }
    }
    return reports;
}

void print(const hub_report& r, std::ostream& out, bool is_own) {
    out << "hub of kernel thread " << r.tid << (is_own ? ", the caller's" : "");
    if (!r.answered) {
        out << ": has not switched fibers for 200 ms\n";
        return;
    }
    out << ": " << r.live << (r.live == 1 ? " fiber, " : " fibers, ") << r.switches << " switches, " << r.timers << (r.timers == 1 ? " timer\n" : " timers\n");
    tree(r, out).print();
    if (r.live > r.used) out << "... and " << r.live - r.used << " more\n";
}

} // namespace

} // namespace rt

void print_run_info(std::ostream& out) {
    if (rt::hub* own = rt::hub::current(); own != nullptr) {
        rt::hub_report r;
        r.fibers.resize(own->live_fibers());
        r.note(*own);
        r.answered = true;
        rt::print(r, out, true);
    }
    for (std::size_t room = 256;; room *= 8) {
        const auto reports = rt::ask_others(room);
        if (std::any_of(reports.begin(), reports.end(), [](const auto& r) { return r->live > r->used; }) && room < 100'000) continue;
        for (const auto& r : reports) rt::print(*r, out, false);
        break;
    }
    out.flush();
}

} // namespace weft
