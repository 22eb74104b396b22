// SPDX-License-Identifier: Apache-2.0
#include "core/local_table.hpp"

#include "core/fiber.hpp"
#include "core/thread_state.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

namespace weft::rt {

namespace {

constinit std::atomic<std::uint64_t> last_key{0};

/// The table of who runs on the thread's own stack: its main fiber, before and after it has a hub.
local_table& of_thread() noexcept {
    thread_local local_table table;
    return table;
}

fiber_core* spawned_caller() noexcept {
    fiber_core* f = this_thread_state.running;
    return f == nullptr || f->is_on_thread_stack() ? nullptr : f;
}

} // namespace

void local_table::drop(std::uint64_t key) noexcept {
    const auto at = std::find_if(entries_.begin(), entries_.end(), [key](const entry& e) { return e.key == key; });
    if (at == entries_.end()) return;
    const auto dropped = std::move(at->value); // destroyed last: it may use the table
    entries_.erase(at);
}

void local_table::clear() noexcept {
    while (!entries_.empty()) {
        const auto dropped = std::move(entries_.back().value);
        entries_.pop_back();
    }
}

std::uint64_t new_local_key() noexcept { return last_key.fetch_add(1, std::memory_order_relaxed) + 1; }

local_value* find_local(std::uint64_t key) noexcept {
    const fiber_core* f = spawned_caller();
    if (f == nullptr) return of_thread().find(key);
    return f->locals == nullptr ? nullptr : f->locals->find(key);
}

void keep_local(std::uint64_t key, std::unique_ptr<local_value> value) {
    fiber_core* f = spawned_caller();
    if (f != nullptr && f->locals == nullptr) f->locals = new local_table;
    (f == nullptr ? of_thread() : *f->locals).keep(key, std::move(value));
}

void drop_local(std::uint64_t key) noexcept {
    const fiber_core* f = spawned_caller();
    if (f == nullptr) of_thread().drop(key);
    else if (f->locals != nullptr) f->locals->drop(key);
}

void end_locals(fiber_core& f) noexcept {
    ++f.deferrals; // a destructor that waits is not interrupted: it could not throw
    f.locals->clear();
    --f.deferrals;
    delete std::exchange(f.locals, nullptr);
}

} // namespace weft::rt
