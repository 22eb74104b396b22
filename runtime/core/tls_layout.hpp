// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where libc keeps what a thread's descriptor must say. libc exports most of it for debuggers; the rest is read off a live thread. All of
// it is checked against what the main thread and a fresh one hold, and one mismatch means: no frames (DESIGN: threads stay real).

#include <cstddef>
#include <cstdint>

namespace weft::rt {

struct key_block;

struct tls_layout {
    std::size_t size = 0;        // of a frame: static TLS and the descriptor
    std::size_t alignment = 0;
    std::size_t descriptor = 0;  // its size; it begins at the thread pointer
    // From the thread pointer:
    std::ptrdiff_t tid = 0, list = 0, specific = 0, first_keys = 0, robust = 0, resolver = 0, cancel = 0;
    std::ptrdiff_t rseq_cpu = 0; // 0: none
    std::ptrdiff_t resolver_pointer = 0, state = 0, errno_at = 0, exceptions = 0; // TLS variables

    struct key {
        std::uintptr_t sequence;
        void (*destructor)(void*);
    };
    struct key_data {
        std::uintptr_t sequence;
        void* data;
    };
    static constexpr int keys_a_block = 32;
    const key* keys = nullptr;
    void* (*allocate)(void*) = nullptr;      // _dl_allocate_tls
    void (*deallocate)(void*, bool) = nullptr;
    void (*ctype_init)() = nullptr;
    void (*call_destructors)() = nullptr;    // of thread_local objects
    int multiple_threads = 0;
    char *loader = nullptr, *loader_end = nullptr; // the loader's variables, its locks among them
    char* threads_by_hand = nullptr;         // the head of libc's list of threads whose stacks it did not make: main's, too

    [[nodiscard]] int tid_of(const char* thread_pointer) const noexcept { return *reinterpret_cast<const int*>(thread_pointer + tid); }
};

/// Finds it out, once. Null: all is well; else what is not as expected.
const char* find_tls_layout(tls_layout& out) noexcept;

} // namespace weft::rt
