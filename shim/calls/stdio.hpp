// SPDX-License-Identifier: Apache-2.0
#pragma once

// Buffered files. A call that its FILE's buffer satisfies, or whose FILE never waits, is libc's, made where it is. Any other runs libc's
// own function through `inner`, with the FILE locked against other fibers: what it does is exactly what libc does, to the last byte
// that stays in the buffer.

#include "calls/file.hpp"
#include "calls/stdio_lock.hpp"
#include "core/inner.hpp"
#include "core/interruption.hpp"

#include <cerrno>
#include <cstdarg>
#include <type_traits>

namespace weft::shim::stdio {

/// Runs libc's function of that call on a fiber so that only the fiber waits. A kill or an expired time-out makes it fail with
/// ECANCELED or ETIMEDOUT, whatever libc's function found to say.
template <call c, class... A>
auto in_libc(A... arguments) {
    const int errno_before = errno;
    const auto named = [=]() noexcept {
        if (errno != EINTR || errno_before == EINTR) return;
        if (const int error = rt::interruption_errno(true); error != 0) errno = error;
    };
    if constexpr (std::is_void_v<decltype(real_of<c>()(arguments...))>) {
        inner<c>(arguments...);
        named();
    } else {
        const auto result = inner<c>(arguments...);
        named();
        return result;
    }
}

/// Whether a call takes the lock of its FILE.
enum class locking : bool { no, yes };

/// The FILE is in use by one call: locked against other fibers, then in libc against other kernel threads.
class use {
public:
    use(FILE* f, bool locks) noexcept : file_(locks ? f : nullptr), in_libc_(locks && take(f)) {}
    ~use() {
        if (file_ != nullptr) give();
    }
    use(const use&) = delete;
    use& operator=(const use&) = delete;

private:
    static bool take(FILE* f) noexcept;
    void give() noexcept;

    FILE* const file_;
    const bool in_libc_;
};

/// The call `c` on `f`, on a fiber. `satisfied(*f)`: the buffer alone does.
template <call c, locking l, class Satisfied, class... A>
auto served_on(FILE* f, Satisfied satisfied, A... arguments) {
    const auto waits = [=]() noexcept {
        // libc's inner write is a cancellation point, whatever it writes to.
        if (__builtin_expect(rt::this_thread_state.end_wanted.load(std::memory_order_relaxed), 0) != 0) return true;
        return file::nature_of(*f) != file::nature::plain && !satisfied(*f);
    };
    const bool locks = l == locking::yes && (f->_flags & file::locked_by_caller) == 0;
    if (!waits() && (!locks || (stdio_lock::is_free(f) && !file::is_locked(*f)))) return real_of<c>()(arguments...);
    const use here(f, locks);
    // What a cookie's functions do is the program's own, here and now: their calls are served one by one.
    if (file::nature_of(*f) == file::nature::callback) return real_of<c>()(arguments...);
    if (!waits()) return real_of<c>()(arguments...);
    return in_libc<c>(arguments...);
}

/// What every stub of a call on a FILE does. `c` may take other arguments than the stub: printf is vfprintf.
template <call c, locking l = locking::yes, class Satisfied, class... A>
auto on_file(FILE* f, Satisfied satisfied, A... arguments) {
    return serve<c>([=](A... a) { return f == nullptr ? real_of<c>()(a...) : served_on<c, l>(f, satisfied, a...); }, arguments...);
}

/// Prints what is short and goes into the FILE's buffer: by libc's own formatting into memory, since only then it is known
/// whether it does. -1: nothing was done.
int print_short(FILE* f, const char* format, va_list arguments);
int print_short(FILE* f, int flag, const char* format, va_list arguments);

/// printf on a fiber; `c` takes these arguments.
template <call c, class... A>
int print(FILE* f, A... arguments) {
    const int n = print_short(f, arguments...);
    return n >= 0 ? n : served_on<c, locking::yes>(f, file::never{}, f, arguments...);
}

/// What every stub of a printf does.
template <call c, class... A>
int on_print(FILE* f, A... arguments) {
    return serve<c>([](FILE* to, A... a) { return to == nullptr ? real_of<c>()(to, a...) : print<c>(to, a...); }, f, arguments...);
}

/// printf to a descriptor.
template <call c, class... A>
auto on_descriptor(int fd, A... arguments) {
    return serve<c>(
        [](int d, A... a) {
            const fd_kind kind = descriptor::of(d).kind(d);
            return kind == fd_kind::plain || kind == fd_kind::unknown ? real_of<c>()(d, a...) : in_libc<c>(d, a...);
        },
        fd, arguments...);
}

/// libc writes a line-buffered stdout out before it reads from a FILE that is not fully buffered.
void before_input(const FILE& f);

/// The same for a call that reads.
template <call c, locking l = locking::yes, class Satisfied, class... A>
auto input(FILE* f, Satisfied satisfied, A... arguments) {
    return serve<c>(
        [=](A... a) {
            if (f == nullptr) return real_of<c>()(a...);
            if ((f->_flags & (file::line_buffered | file::unbuffered)) != 0 && !satisfied(*f)) before_input(*f);
            return served_on<c, l>(f, satisfied, a...);
        },
        arguments...);
}

// --- On a fiber ---

/// fflush of one FILE, or of all.
int flush(FILE* f);
struct flush_options {
    bool lines_only = false; // line-buffered FILEs
    bool in_use = true;      // false: one that is in use is left alone
};
/// Writes out what all FILEs hold. libc's list of them is not locked while it waits.
int flush_all(flush_options options);
void flush_lines();
int close_all();
/// fopen of a FIFO waits for its other end.
FILE* open(const char* path, const char* mode);
FILE* open64(const char* path, const char* mode);
FILE* reopen(const char* path, const char* mode, FILE* f);
FILE* reopen64(const char* path, const char* mode, FILE* f);
void lock(FILE* f);
int try_lock(FILE* f);

// --- On whichever thread ---

/// fclose and pclose: they write, wait for a child, and never leave the FILE open.
int closed(FILE* f);
/// freopen: what the FILE was ends.
void reopening(FILE* f) noexcept;
/// A call made a FILE with a new descriptor (or failed): passes it on.
FILE* opened(FILE* f) noexcept;
FILE* process_opened(FILE* f) noexcept;
/// Its lock was taken; one that was not served is noted.
void locked(FILE* f) noexcept;
void unlock(FILE* f) noexcept;

/// Numbered in init.cpp.
void initialise() noexcept;

} // namespace weft::shim::stdio
