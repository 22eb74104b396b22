// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a FILE says of itself: whether a call on it may wait at all, and whether its buffer alone satisfies the call. libc's structure is
// public (<bits/types/struct_FILE.h>); the bits of its _flags and the lock's members have not changed since glibc 2.1.

#include "core/descriptor.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <cwchar>

#include <pthread.h>

namespace weft::shim::file {

constexpr int unbuffered = 0x0002, line_buffered = 0x0200, no_writes = 0x0008, linked = 0x0080, putting = 0x0800;
constexpr int has_descriptor = 0x2000;   // or functions of the program's (_IO_IS_FILEBUF); else it is memory
constexpr int locked_by_caller = 0x8000; // __fsetlocking(FSETLOCKING_BYCALLER): calls take no lock

/// libc's lock of a FILE.
struct libc_lock {
    int word;
    int count;
    void* owner; // the holder's pthread_self()
};

inline const libc_lock* lock_of(const FILE& f) noexcept { return reinterpret_cast<const libc_lock*>(f._lock); }
/// Somebody holds libc's own lock of it.
inline bool is_locked(const FILE& f) noexcept {
    return f._lock != nullptr && __atomic_load_n(&lock_of(f)->word, __ATOMIC_RELAXED) != 0;
}
/// This kernel thread does.
inline bool is_locked_here(const FILE& f) noexcept {
    return is_locked(f) && __atomic_load_n(&lock_of(f)->owner, __ATOMIC_RELAXED) == reinterpret_cast<void*>(::pthread_self());
}

enum class nature : std::uint8_t {
    plain,    // regular file, memory: never waits
    waits,    // a descriptor that can make its caller wait
    callback, // fopencookie: the program's functions, which may do anything
};

inline nature nature_of(const FILE& f) noexcept {
    if ((f._flags & has_descriptor) == 0) return nature::plain;
    if (f._fileno < 0) return nature::callback;
    const fd_kind kind = descriptor::of(f._fileno).kind(f._fileno);
    return kind == fd_kind::plain || kind == fd_kind::unknown ? nature::plain : nature::waits;
}

/// Output that was not written yet. (A wide FILE's pointers lie in its own structure, in the same order.)
inline bool has_output(const FILE& f) noexcept {
    if (f._mode <= 0) return f._IO_write_ptr > f._IO_write_base;
    const auto* wide = reinterpret_cast<wchar_t* const*>(f._wide_data);
    return wide != nullptr && (wide[4] > wide[3] || f._IO_write_ptr > f._IO_write_base);
}

// --- Whether the buffer alone does for a call: asked before it is made ---

/// Nobody can know.
struct never {
    bool operator()(const FILE&) const noexcept { return false; }
};

/// What only looks or sets.
struct always {
    bool operator()(const FILE&) const noexcept { return true; }
};

/// So many bytes are there to be read.
struct holds {
    std::size_t size, count = 1;
    bool operator()(const FILE& f) const noexcept {
        std::size_t wanted = 0;
        return !__builtin_mul_overflow(size, count, &wanted) && static_cast<std::size_t>(f._IO_read_end - f._IO_read_ptr) >= wanted;
    }
};

/// A wide character is there.
struct holds_wide {
    bool operator()(const FILE& f) const noexcept {
        if (f._mode <= 0 || f._wide_data == nullptr) return false;
        const auto* wide = reinterpret_cast<wchar_t* const*>(f._wide_data);
        return wide[0] < wide[1];
    }
};

/// The end of a line is there, or as many bytes as the caller takes (`limit` counts its terminating zero; 0: it takes all).
struct holds_line {
    std::size_t limit = 0;
    int end = '\n';
    bool operator()(const FILE& f) const noexcept {
        const auto there = static_cast<std::size_t>(f._IO_read_end - f._IO_read_ptr);
        if (limit > 0 && there >= limit - 1) return true;
        return there > 0 && std::memchr(f._IO_read_ptr, end, there) != nullptr;
    }
};

/// There is room for these bytes, and nothing makes libc write them at once.
struct has_room {
    const void* bytes;
    std::size_t size, count = 1;
    bool operator()(const FILE& f) const noexcept {
        std::size_t n = 0;
        if (f._mode > 0 || (f._flags & (putting | unbuffered)) != putting || __builtin_mul_overflow(size, count, &n)) return false;
        if ((f._flags & line_buffered) == 0) return static_cast<std::size_t>(f._IO_write_end - f._IO_write_ptr) > n;
        return static_cast<std::size_t>(f._IO_buf_end - f._IO_write_ptr) > n && std::memchr(bytes, '\n', n) == nullptr;
    }
};

struct has_room_for_text {
    const char* text;
    bool operator()(const FILE& f) const noexcept { return has_room{text, std::strlen(text)}(f); }
};

struct has_room_for_byte {
    int byte;
    bool operator()(const FILE& f) const noexcept {
        const char one = static_cast<char>(byte);
        return has_room{&one, 1}(f);
    }
};

/// The same for a text and the end of its line.
struct has_room_for_line {
    const char* text;
    bool operator()(const FILE& f) const noexcept {
        return (f._flags & line_buffered) == 0 && has_room{text, std::strlen(text) + 1}(f);
    }
};

/// It has nothing to write first.
struct flushed {
    bool operator()(const FILE& f) const noexcept { return !has_output(f); }
};

} // namespace weft::shim::file
