// SPDX-License-Identifier: Apache-2.0
// What the handles of <weft/fiber.hpp> call.
#include <weft/detail/fiber_api.hpp>

#include "core/fiber.hpp"
#include "core/hub.hpp"

#include <weft/errors.hpp>

#include <mutex>
#include <stdexcept>
#include <utility>

namespace weft::rt {

fiber_core* current_fiber() {
    parkable& self = current_parkable();
    if (!self.is_fiber()) throw std::logic_error("weft: this kernel thread has no fibers: it must spawn one first");
    return &static_cast<fiber_core&>(self);
}

void retain(fiber_core* f) noexcept { f->retain(); }
void release(fiber_core* f) noexcept { f->release(); }
task_base* task_of(fiber_core* f) noexcept { return f->task; }

bool watch_end(fiber_core* f, wait_node& node) noexcept {
    const std::lock_guard hold(f->guard());
    if (f->is_done()) return false;
    f->joiners.push(node);
    return true;
}

void unwatch_end(fiber_core* f, wait_node& node) noexcept {
    const std::lock_guard hold(f->guard());
    wait_list::remove(node);
}

bool join_fiber(fiber_core* f, deadline d) {
    for (;;) {
        interruption_point();
        if (f->is_done()) return true;
        if (f == this_thread_state.running) throw std::logic_error("weft: a fiber cannot join itself");
        waiter w("the end of a fiber", f);
        if (!watch_end(f, w.node)) {
            w.abandon();
            return true;
        }
        const wake_reason reason = w.suspend(d);
        if (reason == wake_reason::woken) return true; // and its node is out
        unwatch_end(f, w.node);
        if (deadline_reached(reason)) return f->is_done();
    }
}

void await_value(fiber_core* f, deadline d) {
    if (!join_fiber(f, d)) throw timeout_error("the fiber has not ended by the deadline");
    raise_error_of(f);
    f->settle();
    if (f->was_killed) throw fiber_killed("fiber " + std::to_string(f->id) + " was killed");
}

void raise_error_of(fiber_core* f) {
    if (std::exception_ptr e = exception_of(f)) std::rethrow_exception(e);
}

void kill_fiber_async(fiber_core* f, std::exception_ptr exception) noexcept { f->request_kill(std::move(exception)); }

bool kill_fiber(fiber_core* f, std::exception_ptr exception, deadline d) {
    f->request_kill(std::move(exception));
    if (f == this_thread_state.running) {
        interruption_point();
        return false;
    }
    return join_fiber(f, d);
}

bool is_ready(fiber_core* f) noexcept { return f->is_done(); }
bool is_successful(fiber_core* f) noexcept {
    f->settle();
    return f->is_done() && f->exception == nullptr && !f->was_killed;
}
bool is_started(fiber_core* f) noexcept { return f->started.load(std::memory_order_acquire); }
bool is_dead(fiber_core* f) noexcept { return f->is_done(); }

std::exception_ptr exception_of(fiber_core* f) noexcept {
    if (!f->is_done()) return nullptr;
    f->collected.store(true, std::memory_order_relaxed);
    return f->exception;
}

std::uint64_t id_of(fiber_core* f) noexcept { return f->id; }

std::string name_of(fiber_core* f) {
    const std::lock_guard hold(f->guard());
    if (!f->name.empty()) return f->name;
    return f->is_main() ? "main" : "fiber-" + std::to_string(f->id);
}

void set_name_of(fiber_core* f, std::string_view name) {
    std::string copy(name);
    const std::lock_guard hold(f->guard());
    f->name.swap(copy);
}

bool add_end_hook(fiber_core* f, end_hook& hook) noexcept {
    const std::lock_guard hold(f->guard());
    if (f->ending) return false;
    hook.next = f->end_hooks;
    f->end_hooks = &hook;
    return true;
}

bool remove_end_hook(fiber_core* f, end_hook& hook) noexcept {
    const std::lock_guard hold(f->guard());
    for (end_hook** at = &f->end_hooks; *at != nullptr; at = &(*at)->next) {
        if (*at != &hook) continue;
        *at = hook.next;
        return true;
    }
    return false;
}

// --- Links ---

void add_link(fiber_core* f, link_record* record) {
    {
        const std::lock_guard hold(f->guard());
        if (!f->is_done()) {
            link_record** at = &f->links;
            while (*at != nullptr) at = &(*at)->next;
            *at = record;
            return;
        }
    }
    f->run_links(record);
}

void remove_links(fiber_core* f) noexcept {
    link_record* dropped = nullptr;
    {
        const std::lock_guard hold(f->guard());
        dropped = std::exchange(f->links, nullptr);
    }
    while (dropped != nullptr) delete std::exchange(dropped, dropped->next);
}

} // namespace weft::rt
