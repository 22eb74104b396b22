// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the templates of <weft/fiber.hpp> need of the runtime: a fiber is an opaque control block with a task beside it on the
// fiber's stack.

#include <weft/deadline.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace weft {
struct fiber_options;
}

namespace weft::rt {

class fiber_core;

/// What a fiber runs, and where its result stays.
class WEFT_API task_base {
public:
    virtual ~task_base() = default;
    virtual void run() = 0;
    /// Instead of run, for a fiber that is killed before its start: lets go of the function.
    virtual void abandon() noexcept = 0;

protected:
    task_base() = default;
    task_base(const task_base&) = default;
    task_base& operator=(const task_base&) = default;
};

/// Called on the fiber's hub when it has ended, before anyone waiting for it runs. Intrusive; noexcept.
struct end_hook {
    end_hook* next = nullptr;
    void (*on_end)(end_hook&) noexcept = nullptr;
};

/// A callback of `link`; made by new, run in a fiber of its own after the end.
struct WEFT_API link_record {
    enum class when : std::uint8_t { always, value, exception };

    explicit link_record(when w) : condition(w) {}
    link_record(const link_record&) = delete;
    link_record& operator=(const link_record&) = delete;
    virtual ~link_record() = default;
    virtual void call(fiber_core& ended) = 0;

    link_record* next = nullptr;
    when condition;
};

/// A new fiber with room for a task of that size; the task goes to `place`. Throws std::system_error (ENOMEM).
WEFT_API fiber_core* create_fiber(const fiber_options& options, std::size_t task_size, std::size_t task_align,
                                  void*& place);
/// The task's constructor threw: undoes create_fiber.
WEFT_API void discard_fiber(fiber_core* f) noexcept;
/// Queues the start: at the next turn, or at `when`. `retained` is the caller's handle.
WEFT_API void start_fiber(fiber_core* f, task_base* task, deadline when, bool timed) noexcept;

/// The calling fiber. Throws std::logic_error on a kernel thread without a hub.
WEFT_API fiber_core* current_fiber();

WEFT_API void retain(fiber_core* f) noexcept;
WEFT_API void release(fiber_core* f) noexcept;
WEFT_API task_base* task_of(fiber_core* f) noexcept;
WEFT_API bool join_fiber(fiber_core* f, deadline d);
/// Waits for the end, then throws what get() throws unless there is a value.
WEFT_API void await_value(fiber_core* f, deadline d);
WEFT_API void kill_fiber_async(fiber_core* f, std::exception_ptr exception) noexcept;
WEFT_API bool kill_fiber(fiber_core* f, std::exception_ptr exception, deadline d);
WEFT_API bool is_ready(fiber_core* f) noexcept;
WEFT_API bool is_successful(fiber_core* f) noexcept;
WEFT_API bool is_started(fiber_core* f) noexcept;
WEFT_API bool is_dead(fiber_core* f) noexcept;
/// How it ended: null for a value or while it runs. Counts as collecting the exception.
WEFT_API std::exception_ptr exception_of(fiber_core* f) noexcept;
/// If it ended with an exception (not killed), rethrows it.
WEFT_API void raise_error_of(fiber_core* f);
WEFT_API std::uint64_t id_of(fiber_core* f) noexcept;
WEFT_API std::string name_of(fiber_core* f);
WEFT_API void set_name_of(fiber_core* f, std::string_view name);
WEFT_API void add_link(fiber_core* f, link_record* record);
WEFT_API void remove_links(fiber_core* f) noexcept;
/// False: it has ended already, and the hook was not added.
WEFT_API bool add_end_hook(fiber_core* f, end_hook& hook) noexcept;
/// False: the hook has run, or runs now.
WEFT_API bool remove_end_hook(fiber_core* f, end_hook& hook) noexcept;
/// Links a node to be woken at the end. False: it has ended already.
WEFT_API bool watch_end(fiber_core* f, wait_node& node) noexcept;
WEFT_API void unwatch_end(fiber_core* f, wait_node& node) noexcept;

/// A counted reference.
class fiber_ref {
public:
    fiber_ref() noexcept = default;
    /// Takes over a reference that is counted already.
    static fiber_ref adopt(fiber_core* f) noexcept {
        fiber_ref r;
        r.core_ = f;
        return r;
    }
    static fiber_ref share(fiber_core* f) noexcept {
        if (f != nullptr) retain(f);
        return adopt(f);
    }
    fiber_ref(const fiber_ref& other) noexcept : core_(other.core_) {
        if (core_ != nullptr) retain(core_);
    }
    fiber_ref(fiber_ref&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    fiber_ref& operator=(fiber_ref other) noexcept {
        std::swap(core_, other.core_);
        return *this;
    }
    ~fiber_ref() {
        if (core_ != nullptr) release(core_);
    }
    [[nodiscard]] fiber_core* get() const noexcept { return core_; }

private:
    fiber_core* core_ = nullptr;
};

} // namespace weft::rt
