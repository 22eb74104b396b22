// SPDX-License-Identifier: Apache-2.0
#pragma once

// Green threads: what pthread_create makes of a thread. A fiber with a TLS frame of its own, whose address is its pthread_t, as with libc's
// own threads; so pthread_self, errno and thread_local variables need no interception.

#include "threads/cpu_time.hpp"

#include "core/fiber.hpp"
#include "core/thread_state.hpp"
#include "core/tls_frame.hpp"
#include <weft/detail/fiber_api.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <pthread.h>

namespace weft::shim {

struct scheduling;

/// What the program can know and change of a thread. The main thread has one too, as soon as there are others.
struct green_thread {
    rt::fiber_core* fiber = nullptr;
    pthread_t id = 0;
    void* (*start)(void*) = nullptr;
    void* argument = nullptr;
    void* result = nullptr;
    __pthread_unwind_buf_t at_handler{}; // where its unwinding stops when a handler has called pthread_exit

    // How it ends, and who may know.
    static constexpr std::uint32_t running = 0, ended = 1;
    std::uint32_t life = running;                    // a futex: joiners wait for `ended`
    std::atomic<bool> detached{false};
    std::atomic<green_thread*> joiner{nullptr};      // who waits in pthread_join; `anybody` for a thread that is not green
    std::atomic<bool> released{false};               // the reference of joiner or detacher is given back

    // Who it is (tid.hpp, names.cpp, scheduling.hpp).
    int tid = 0;
    char name[16] = {};
    scheduling* how = nullptr;                       // null: as the process began

    // As it was asked for.
    char* stack_low = nullptr;
    std::size_t stack_size = 0, guard_size = 0;
    bool inherits_scheduling = true;
    bool on_given_stack = false; // whose memory is the program's
    std::uint8_t lives_at = 0;   // see workers.hpp

    cpu_time::account cpu;

    [[nodiscard]] bool is_main() const noexcept { return start == nullptr; }

    green_thread* next = nullptr; // all that live; guarded by green::list
    green_thread* previous = nullptr;
};

namespace green {

/// Whether pthread_create makes green threads here: the family is on, the caller is the program on a fiber or on the main thread.
/// The first time it sees to it that they can be made; where they cannot, it says why, once, and threads stay real.
bool wanted() noexcept;

/// The calling thread; null on what is none (a kernel thread of its own, the hub's loop, a fiber without a frame).
inline green_thread* self() noexcept { return static_cast<green_thread*>(rt::this_thread_state.thread); }
/// In a child of fork: it is the parent's. To libc it has ended there, without a result, and has no number.
bool is_the_parents(const green_thread& t) noexcept;
/// That thread; null for a kernel thread. As libc does, it believes that there is such a thread, or was until it was joined.
inline green_thread* of(pthread_t id) noexcept {
    return static_cast<green_thread*>(rt::tls_frame::state_of(reinterpret_cast<char*>(id)).thread);
}

int create(pthread_t* out, const pthread_attr_t* attributes, void* (*start)(void*), void* argument);
int detach(green_thread& thread) noexcept;

/// Waits for its end. `clock` and `at` (null: for ever) as for pthread_clockjoin_np.
int join(green_thread& thread, void** result, clockid_t clock, const timespec* at);
int try_join(green_thread& thread, void** result) noexcept;

/// The main thread has called pthread_exit: waits for the others.
void outlive_main() noexcept;

/// Calls f for each that lives; nobody ends meanwhile. f makes no call that waits.
void for_each(void (*f)(green_thread&, void*), void* argument) noexcept;

/// How many there are, without main.
int count() noexcept;
void most(std::uint64_t threads) noexcept;       // --max-threads; 0: no limit
void stack_default(std::uint64_t bytes) noexcept; // --stack-size; 0: as libc has it

void after_fork() noexcept;

} // namespace green

} // namespace weft::shim
