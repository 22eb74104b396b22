// SPDX-License-Identifier: Apache-2.0
#pragma once

// A TLS frame: what a thread pointer points to. Static TLS of every module, and libc's own thread descriptor behind it, filled so
// that libc takes the fiber that runs with it for a thread: errno, thread_local, malloc's caches, the locale, C++ exceptions in flight and
// pthread_self() are the fiber's own with no further work.
//
// Frames are pooled. One that is used again looks fresh, but for libc's own part, which stays warm.

#include "core/fork.hpp"
#include "core/thread_state.hpp"

#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::rt {

class frame_states;
class hub;
struct frame_slab;

class WEFT_API tls_frame {
public:
    /// Why frames cannot be made in this process, or null. The first call looks at libc's layout, for which it makes a kernel thread.
    static const char* unavailable() noexcept;

    /// A fresh one, for a fiber of that hub. Null: no memory, or unavailable().
    static tls_frame* take(hub& h) noexcept;
    /// Nobody runs with it any more, nor will.
    static void put(tls_frame& f) noexcept;

    /// More are free than are likely to be needed soon: give_back() returns memory, some at a time. It may wait for libc's locks.
    static bool has_surplus() noexcept;
    static void give_back() noexcept;

    [[nodiscard]] char* pointer() const noexcept { return pointer_; }
    /// Memory for what belongs to the fiber: a switch touches it and the frame, so both lie together.
    [[nodiscard]] char* room() const noexcept { return room_; }
    static constexpr std::size_t room_size = 1024;
    [[nodiscard]] thread_state& state() const noexcept { return state_of(pointer_); }
    /// The state in the frame of that thread pointer, a kernel thread's too.
    static thread_state& state_of(char* pointer) noexcept {
        return *reinterpret_cast<thread_state*>(pointer + (reinterpret_cast<char*>(&this_thread_state) - static_cast<char*>(__builtin_thread_pointer())));
    }

    /// The first thing and the last thing that run with it: libc's tables; destructors of thread_local objects and of pthread keys.
    void begin() noexcept;
    /// On a hub's own frame, which its plain fibers run with: libc's tables for the kinds of characters.
    static void begin_shared() noexcept;
    static void end();

    /// libc's record of the kernel thread in the frame that this state lies in.
    static void set_tid(thread_state& s, int tid) noexcept;
    /// That kernel thread's own frame will go with the main fiber wherever it runs: from now on this one stands for the thread itself.
    static void stand_for(tls_frame& f, thread_state& kernel_thread, int tid) noexcept;
    /// Values of pthread keys only, of the running frame: the main thread's when it calls pthread_exit.
    static void end_keys();

    /// libc's word of a thread's cancellation. A request (see thread_state.hpp) is never noted there: libc's own calls would act on it in weft's midst.
    static std::uint32_t& cancel_word(char* pointer) noexcept;
    static constexpr std::uint32_t cancel_disabled = 1, cancel_asynchronous = 2, cancel_requested = 0x8, thread_exiting = 0x10;
    /// Whether a request to end the calling thread, which is in a call that it may break off, is to be heeded.
    static bool heeds_end() noexcept;

    /// Until as many unpin_tid(), libc knows the running frame's thread by that tid wherever it is carried, so that it may take a lock of libc's and wait.
    /// 0: by the one that it has now. A number that the kernel gives to nobody keeps other frames of the same kernel thread out, which then wait for real.
    static void pin_tid(int number) noexcept;
    static void unpin_tid() noexcept;
    /// +1 and -1: meanwhile somebody reads libc's list of modules, so none comes or goes, and who asks for them may have to wait.
    static void modules_stay(int change) noexcept;
    /// In the child of fork: by so many of the calling thread's own.
    static void only_reads_modules(int times) noexcept;
    /// In the child of fork: its one kernel thread is the one that the caller's frame is carried by. `survivor`: the caller's hub; may be null.
    static void after_fork(hub* survivor) noexcept;

private:
    friend class frame_pool;
    explicit tls_frame(frame_slab& s) noexcept;
    bool make() noexcept;
    void remake(frame_states& states) noexcept;
    void fill() noexcept;
    bool refresh() noexcept;
    void join_child() noexcept;

    tls_frame* next_ = nullptr;      // in the pool
    frame_slab* slab_;
    char* pointer_ = nullptr;
    char* room_ = nullptr;
    bool used_ = false;              // somebody has run with it
    unsigned generation_ = fork_generation(); // of the process in whose list of threads it is
};

} // namespace weft::rt
