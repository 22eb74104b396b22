// SPDX-License-Identifier: Apache-2.0
#include "core/fiber.hpp"

#include "core/hub.hpp"
#include "core/registry.hpp"
#include "core/signal_point.hpp"

#include <weft/errors.hpp>
#include <weft/fiber.hpp>

#include <algorithm>
#include <cstdlib>
#include <cxxabi.h>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <typeinfo>

namespace weft::rt {

namespace {

constexpr std::size_t stack_alignment = 16;
constexpr std::size_t cache_line = 64;
constexpr std::size_t held_stacks_kept = 1024; // finished fibers with handles whose stacks keep their memory


char* align_down(char* p, std::size_t alignment) noexcept {
    return p - (reinterpret_cast<std::uintptr_t>(p) & (alignment - 1)); // a power of two
}

/// On stderr: an exception that ended a fiber and that nobody asked for.
void report_uncollected(const fiber_core& f) noexcept {
    log_line line;
    line << "fiber " << f.id;
    if (!f.name.empty()) line << " (" << f.name << ")";
    line << " ended by an exception that nobody collected: ";
    try {
        std::rethrow_exception(f.exception);
    } catch (const std::exception& e) {
        int status = 0;
        char* type = abi::__cxa_demangle(typeid(e).name(), nullptr, nullptr, &status);
        line << (type == nullptr ? typeid(e).name() : type) << ": " << e.what();
        std::free(type);
    } catch (...) {
        line << "not a std::exception";
    }
    line.write();
}

} // namespace

// --- Making ---

fiber_core::fiber_core(hub& h, stack& s, char* usable_top)
    : parkable(true),
      machine(s.base, static_cast<std::size_t>(usable_top - s.base), &fiber_core::entry, this), owner(&h),
      state(fiber_state::fresh), references(2), id(h.next_id()), stack_(&s) {
    if (const fiber_core* parent = this_thread_state.running) parent_id = parent->id;
}

fiber_core::fiber_core(hub& h)
    : parkable(true), owner(&h), state(fiber_state::ready),
      id(h.next_id()) {
    started.store(true, std::memory_order_relaxed);
}

fiber_core::~fiber_core() = default;

fiber_core* create_fiber(const fiber_options& options, std::size_t task_size, std::size_t task_align, void*& place) {
    if (options.own_tls)
        throw std::system_error(ENOTSUP, std::generic_category(), "weft: own_tls is not available in this version");
    hub& h = hub::ensure();
    // A small task lies within the page that the control block touches anyway; a big one adds to the stack.
    constexpr std::size_t small_task = 512;
    std::size_t wanted = options.stack_size == 0 ? default_stack : options.stack_size;
    if (task_size > small_task) wanted += task_size + task_align;
    stack& s = acquire_stack(wanted);
    char* control = align_down(s.top() - s.color * cache_line - sizeof(fiber_core), cache_line);
    char* task = align_down(control - task_size, std::max(task_align, stack_alignment));
    place = task;
    auto* f = ::new (control) fiber_core(h, s, align_down(task, stack_alignment));
    if (!options.name.empty()) f->name = options.name;
    return f;
}

void discard_fiber(fiber_core* f) noexcept {
    f->references.store(1, std::memory_order_relaxed);
    f->release();
}

void start_fiber(fiber_core* f, task_base* task, deadline when, bool timed) noexcept {
    f->task = task;
    hub& h = *f->owner;
    h.enroll(*f);
    if (!timed) {
        h.make_ready(*f);
        return;
    }
    f->start_timer.self = f;
    f->start_timer.at = when.time().time_since_epoch().count();
    f->start_timer.fire = [](timer& t) noexcept {
        fiber_core* self = static_cast<decltype(fiber_core::start_timer)&>(t).self;
        self->owner->make_ready(*self);
    };
    if (!when.is_never()) h.start_timer(f->start_timer);
}

// --- Running ---

void fiber_core::entry(context::arrival a) noexcept {
    auto& f = *static_cast<fiber_core*>(context::begin(a));
    f.owner->arrived();
    f.body();
    if (f.is_main()) f.end_process(); // fork was called in it: this is the child's main
    f.end();
    f.owner->finish(f);
}

void fiber_core::body() noexcept {
    if (kill_pending.load(std::memory_order_acquire)) {
        task->abandon();
        const std::lock_guard hold(lock);
        kill_pending.store(false, std::memory_order_relaxed);
        if (kill_exception == nullptr) was_killed = true;
        else exception = kill_exception;
        return;
    }
    started.store(true, std::memory_order_release);
    try {
        task->run();
    } catch (const fiber_exit&) {
        was_killed = true;
    } catch (...) {
        exception = std::current_exception();
    }
}

bool fiber_core::is_main() const noexcept {
    if (stack_ == nullptr) return true;
    return !is_done() && &owner->main_fiber() == this; // a fiber that is done may have outlived its hub
}

void fiber_core::end_process() noexcept {
    if (exception != nullptr) {
        report_uncollected(*this);
        std::exit(EXIT_FAILURE);
    }
    std::exit(EXIT_SUCCESS);
}

void fiber_core::end() noexcept {
    lock.lock();
    ending = true;
    if (kill_exception != nullptr) kill_exception = nullptr;
    if (end_hook* hooks = std::exchange(end_hooks, nullptr); hooks != nullptr) {
        lock.unlock();
        while (hooks != nullptr) {
            end_hook* hook = hooks;
            hooks = hook->next;
            hook->on_end(*hook);
        }
        lock.lock();
    }
    become(fiber_state::done);
    joiners.wake_all();
    link_record* callbacks = std::exchange(links, nullptr);
    lock.unlock();
    if (callbacks != nullptr) run_links(callbacks);
}

void fiber_core::left_stack() noexcept {
    if (references.load(std::memory_order_acquire) > 1) {
        held = true;
        if (owner->held_stacks++ >= held_stacks_kept) {
            const char* used_from = static_cast<const char*>(machine.stack_base()) + machine.stack_size();
            shrink_stack(*stack_, static_cast<std::size_t>(stack_->top() - used_from));
        }
    }
    release();
}

void fiber_core::release() noexcept {
    if (!drop_reference()) return;
    if (stack_ == nullptr) { // a main fiber lies in its hub, which has given up its own reference: its thread has ended
        delete owner;
        return;
    }
    if (exception != nullptr && !collected.load(std::memory_order_relaxed)) report_uncollected(*this);
    if (held && hub::current() == owner && owner->held_stacks > 0) --owner->held_stacks;
    stack& s = *stack_;
    if (task != nullptr) task->~task_base();
    if (links != nullptr) remove_links(this);
    this->~fiber_core();
    release_stack(s);
}

// --- Kill ---

void fiber_core::request_kill(std::exception_ptr thrown) noexcept {
    const std::lock_guard hold(lock);
    if (ending) return;
    std::swap(kill_exception, thrown);
    kill_pending.store(true, std::memory_order_release);
    owner->post_interrupt(*this); // still under the lock: the fiber cannot end, nor its hub
}

void fiber_core::on_interrupt() noexcept {
    const fiber_state now = state.load(std::memory_order_relaxed);
    if (now == fiber_state::fresh) {
        owner->stop_timer(start_timer);
        owner->make_ready(*this);
    } else if (now == fiber_state::parked) {
        interrupt(wake_reason::interrupted);
    }
}

void interruption_point_slow(parkable& self);

void interruption_point() {
    fiber_core* f = this_thread_state.running;
    if (f == nullptr) {
        if (hub::current() != nullptr) return;
        thread_parker& self = thread_parker::current();
        if (self.scopes != nullptr && self.deferrals == 0) interruption_point_slow(self);
        return;
    }
    if (run_recorded_signals != nullptr && f->is_main()) run_recorded_signals();
    if (!f->has_pending() || f->deferrals != 0) return;
    if (f->kill_pending.load(std::memory_order_acquire)) {
        std::exception_ptr thrown;
        {
            const std::lock_guard hold(f->lock);
            f->kill_pending.store(false, std::memory_order_relaxed);
            thrown = std::exchange(f->kill_exception, nullptr);
        }
        if (thrown == nullptr) throw fiber_exit();
        std::rethrow_exception(thrown);
    }
    interruption_point_slow(*f);
}

// --- The functions behind the handles ---

fiber_core* current_fiber() {
    parkable& self = current_parkable();
    if (!self.is_fiber()) throw std::logic_error("weft: this kernel thread has no fibers: it must spawn one first");
    return &static_cast<fiber_core&>(self);
}

void retain(fiber_core* f) noexcept { f->retain(); }
void release(fiber_core* f) noexcept { f->release(); }
task_base* task_of(fiber_core* f) noexcept { return f->task; }

bool watch_end(fiber_core* f, wait_node& node) noexcept {
    const std::lock_guard hold(f->lock);
    if (f->is_done()) return false;
    f->joiners.push(node);
    return true;
}

void unwatch_end(fiber_core* f, wait_node& node) noexcept {
    const std::lock_guard hold(f->lock);
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
bool is_successful(fiber_core* f) noexcept { return f->is_done() && f->exception == nullptr && !f->was_killed; }
bool is_started(fiber_core* f) noexcept { return f->started.load(std::memory_order_acquire); }
bool is_dead(fiber_core* f) noexcept { return f->is_done(); }

std::exception_ptr exception_of(fiber_core* f) noexcept {
    if (!f->is_done()) return nullptr;
    f->collected.store(true, std::memory_order_relaxed);
    return f->exception;
}

std::uint64_t id_of(fiber_core* f) noexcept { return f->id; }

std::string name_of(fiber_core* f) {
    const std::lock_guard hold(f->lock);
    if (!f->name.empty()) return f->name;
    return f->is_main() ? "main" : "fiber-" + std::to_string(f->id);
}

void set_name_of(fiber_core* f, std::string_view name) {
    std::string copy(name);
    const std::lock_guard hold(f->lock);
    f->name.swap(copy);
}

bool add_end_hook(fiber_core* f, end_hook& hook) noexcept {
    const std::lock_guard hold(f->lock);
    if (f->ending) return false;
    hook.next = f->end_hooks;
    f->end_hooks = &hook;
    return true;
}

bool remove_end_hook(fiber_core* f, end_hook& hook) noexcept {
    const std::lock_guard hold(f->lock);
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
        const std::lock_guard hold(f->lock);
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
        const std::lock_guard hold(f->lock);
        dropped = std::exchange(f->links, nullptr);
    }
    while (dropped != nullptr) delete std::exchange(dropped, dropped->next);
}

/// Each callback in one fiber of its own after the end, in the order they were linked. Until its fiber runs it stays in the list,
/// where remove_links finds it: each fiber takes what is first then.
void fiber_core::run_links(link_record* first) {
    const bool failed = exception != nullptr || was_killed;
    try {
        while (first != nullptr) {
            std::unique_ptr<link_record> record(std::exchange(first, first->next));
            if (record->condition == link_record::when::value && failed) continue;
            if (record->condition == link_record::when::exception) {
                if (!failed) continue;
                collected.store(true, std::memory_order_relaxed);
            }
            spawn([self = fiber_ref::share(this)] {
                if (const auto r = self.get()->take_link()) r->call(*self.get());
            });
            record->next = nullptr;
            append_link(record.release());
        }
    } catch (const std::exception& e) {
        log_line line;
        line << "the callbacks of fiber " << id << " could not be run: " << e.what();
        line.write();
        while (first != nullptr) delete std::exchange(first, first->next);
    }
}

void fiber_core::append_link(link_record* record) noexcept {
    const std::lock_guard hold(lock);
    link_record** at = &links;
    while (*at != nullptr) at = &(*at)->next;
    *at = record;
}

std::unique_ptr<link_record> fiber_core::take_link() noexcept {
    const std::lock_guard hold(lock);
    return std::unique_ptr<link_record>(links == nullptr ? nullptr : std::exchange(links, links->next));
}

} // namespace weft::rt
