// SPDX-License-Identifier: Apache-2.0
#include "core/fiber.hpp"

#include "core/carrier.hpp"
#include "core/hub.hpp"
#include "core/local_table.hpp"
#include "core/registry.hpp"
#include "core/signal_point.hpp"
#include "core/tls_frame.hpp"

#include <weft/errors.hpp>
#include <weft/fiber.hpp>

#include <algorithm>
#include <cctype>
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

fiber_core::fiber_core(hub& h, stack& s, char* base, char* usable_top, tls_frame* own_frame)
    : parkable(true),
      machine(base, static_cast<std::size_t>(usable_top - base), &fiber_core::entry, this,
              own_frame == nullptr ? h.home_frame() : own_frame->state()),
      frame(own_frame), owner(&h), state(fiber_state::fresh), references(2), id((hub::current() == nullptr ? &h : hub::current())->next_id()),
      stack_(&s) {
    if (const fiber_core* parent = this_thread_state.running) parent_id = parent->id;
    if (frame == nullptr) h.count_plain(1);
}

fiber_core::fiber_core(hub& h)
    : parkable(true), owner(&h), state(fiber_state::ready),
      id(h.next_id()) {
    started.store(true, std::memory_order_relaxed);
}

fiber_core::~fiber_core() = default;

fiber_core* create_fiber(const fiber_options& options, std::size_t task_size, std::size_t task_align, void*& place) {
    return create_fiber_on(hub::ensure(), options, {}, task_size, task_align, place);
}

fiber_core* create_fiber_on(hub& h, const fiber_options& options, memory given, std::size_t task_size, std::size_t task_align, void*& place) {
    tls_frame* frame = nullptr;
    if (options.own_tls) {
        if (const char* why = tls_frame::unavailable(); why != nullptr)
            throw std::system_error(ENOTSUP, std::generic_category(), std::string("weft: own_tls: ") + why);
        frame = tls_frame::take(h);
        if (frame == nullptr) throw std::system_error(ENOMEM, std::generic_category(), "weft: thread-local storage of a fiber");
    }
    // A small task lies within the page that the control block touches anyway; a big one adds to the stack.
    constexpr std::size_t small_task = 512;
    std::size_t wanted = given.size != 0 ? smallest_stack : options.stack_size == 0 ? default_stack : options.stack_size;
    if (task_size > small_task && frame == nullptr) wanted += task_size + task_align;
    stack* s = nullptr;
    try {
        s = &acquire_stack(wanted);
    } catch (...) {
        if (frame != nullptr) tls_frame::put(*frame);
        throw;
    }
    // The program knows where a thread's stack is: it has the size that was asked for, and ends at the guard.
    char* const end = frame == nullptr || given.size != 0 ? s->top() : s->base + wanted;
    char* const colored = end - s->color * cache_line;
    const bool beside = frame != nullptr && task_size + std::max(task_align, cache_line) + sizeof(fiber_core) + cache_line <= tls_frame::room_size;
    char* const control = align_down((beside ? frame->room() + tls_frame::room_size : colored) - sizeof(fiber_core), cache_line);
    char* const task = align_down(control - task_size, std::max(task_align, stack_alignment));
    place = task;
    char* const top = align_down(given.size != 0 ? given.base + given.size : beside ? colored : task, stack_alignment);
    auto* f = ::new (control) fiber_core(h, *s, given.size == 0 ? s->base : given.base, top, frame);
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
    if (__builtin_expect(&h != hub::current(), 0)) {
        h.adopt(*f);
        return;
    }
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
    if (f.frame != nullptr) f.frame->begin();
    else if (*::__ctype_b_loc() == nullptr) tls_frame::begin_shared(); // the first of a hub that has a frame of its own
    if (fiber_observer != nullptr) fiber_observer->arrives(f);
    f.body();
    if (f.is_main()) f.end_process(); // fork was called in it: this is the child's main
    f.end();
    f.owner->finish(f);
}

void fiber_core::body() noexcept {
    if (kill_pending.load(std::memory_order_acquire)) {
        task->abandon();
        const std::lock_guard hold(guard());
        kill_pending.store(false, std::memory_order_relaxed);
        if (kill_exception == nullptr) was_killed = true;
        else exception = kill_exception;
        return;
    }
    started.store(true, std::memory_order_release);
    carrier_state().selector = this_thread_state.fiber_selector;
    run_task();
    if (locals != nullptr) end_locals(*this);
    if (frame != nullptr) {
        const program_runs destructors;
        tls_frame::end();
        if (locals != nullptr) end_locals(*this); // what those made
    }
    carrier_state().selector = 0;
}

void fiber_core::run_task() {
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
    guard().lock();
    ending = true;
    if (kill_exception != nullptr) kill_exception = nullptr;
    if (end_hook* hooks = std::exchange(end_hooks, nullptr); hooks != nullptr) {
        lock_.unlock();
        while (hooks != nullptr) {
            end_hook* hook = hooks;
            hooks = hook->next;
            hook->on_end(*hook);
        }
        lock_.lock();
    }
    become(fiber_state::done);
    joiners.wake_all();
    link_record* callbacks = std::exchange(links, nullptr);
    lock_.unlock();
    if (callbacks != nullptr) run_links(callbacks);
}

void fiber_core::left_stack() noexcept {
    if (references.load(std::memory_order_acquire) > 1) {
        held = true;
        if (owner->held_stacks++ >= held_stacks_kept && machine.stack_base() == stack_->base) {
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
    tls_frame* const own_frame = frame;
    if (own_frame == nullptr && hub::current() == owner) owner->count_plain(-1);
    this->~fiber_core();
    if (own_frame != nullptr) tls_frame::put(*own_frame);
    release_stack(s);
}

// --- Kill ---

void fiber_core::request_kill(std::exception_ptr thrown) noexcept {
    const std::lock_guard hold(guard());
    if (ending) return;
    std::swap(kill_exception, thrown);
    kill_pending.store(true, std::memory_order_release);
    owner->post_interrupt(*this); // still under the lock: the fiber cannot end, nor its hub
}

void fiber_core::rouse() noexcept {
    const std::lock_guard hold(guard());
    if (!ending) owner->post_interrupt(*this);
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
        if (!this_thread_state.knows_itself) {
            if (hub_registry::on_main_thread()) { // its first call that may wait: if there is no hub to be had, here it may throw
                hub::ensure();
                return;
            }
            this_thread_state.knows_itself = true;
        }
        thread_parker& self = thread_parker::current();
        if (self.scopes != nullptr && self.deferrals == 0) interruption_point_slow(self);
        return;
    }
    if (run_recorded_signals != nullptr && f->takes_signals()) run_recorded_signals();
    if (!f->has_pending() || f->deferrals != 0) return;
    if (f->kill_pending.load(std::memory_order_acquire)) {
        std::exception_ptr thrown;
        {
            const std::lock_guard hold(f->guard());
            f->kill_pending.store(false, std::memory_order_relaxed);
            thrown = std::exchange(f->kill_exception, nullptr);
        }
        if (thrown == nullptr) throw fiber_exit();
        std::rethrow_exception(thrown);
    }
    interruption_point_slow(*f);
}

// --- Links ---

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
    const std::lock_guard hold(guard());
    link_record** at = &links;
    while (*at != nullptr) at = &(*at)->next;
    *at = record;
}

std::unique_ptr<link_record> fiber_core::take_link() noexcept {
    const std::lock_guard hold(guard());
    return std::unique_ptr<link_record>(links == nullptr ? nullptr : std::exchange(links, links->next));
}

} // namespace weft::rt
