// SPDX-License-Identifier: Apache-2.0
#include "calls/stdio.hpp"

#include "calls/blocking.hpp"
#include "calls/fd.hpp"
#include "core/real.hpp"
#include "core/trap.hpp"

#include <weft/detail/waiter.hpp>

#include <array>
#include <cstdlib>

#include <sys/single_threaded.h>
#include <sys/stat.h>

// Exported, but not declared: libc's list of all FILEs, its lock and a walk over it; the fortified vsnprintf.
extern "C" {
void _IO_list_lock() noexcept;
void _IO_list_unlock() noexcept;
FILE* _IO_iter_begin() noexcept;
FILE* _IO_iter_end() noexcept;
FILE* _IO_iter_next(FILE* f) noexcept;
FILE* _IO_iter_file(FILE* f) noexcept;
int __vsnprintf_chk(char* to, std::size_t size, int flag, std::size_t capacity, const char* format, va_list arguments) noexcept;
}

namespace weft::shim::stdio {

namespace {

/// Holds libc's list of all FILEs. Nobody may suspend meanwhile: its lock is recursive by kernel thread.
class list_of_files {
public:
    list_of_files() noexcept { _IO_list_lock(); }
    ~list_of_files() { _IO_list_unlock(); }
    list_of_files(const list_of_files&) = delete;
    list_of_files& operator=(const list_of_files&) = delete;

    template <class F>
    void for_each(F visit) const noexcept {
        for (FILE* i = _IO_iter_begin(); i != _IO_iter_end(); i = _IO_iter_next(i)) visit(_IO_iter_file(i));
    }
    [[nodiscard]] bool contains(const FILE* wanted) const noexcept {
        bool found = false;
        for_each([&](const FILE* f) noexcept { found = found || f == wanted; });
        return found;
    }
};

/// The FILEs that a flush of all has dealt with. Of more than it holds, some may be flushed again, which is harmless.
class dealt_with {
public:
    void add(const FILE* f) noexcept { files_[count_++ % files_.size()] = f; }
    [[nodiscard]] bool full() const noexcept { return count_ >= 4 * files_.size(); }
    [[nodiscard]] bool contains(const FILE* f) const noexcept {
        for (const FILE* known : files_)
            if (known == f) return true;
        return false;
    }

private:
    std::array<const FILE*, 64> files_{};
    std::size_t count_ = 0;
};

/// What a popen'ed FILE's functions are; null until there was one.
constinit const void* process_functions = nullptr;

const void* functions_of(const FILE* f) noexcept { return *reinterpret_cast<const void* const*>(f + 1); }

/// Its descriptor is about to be closed: on whichever thread, but weft's own calls.
void note_end(const FILE* f) noexcept {
    if (rt::this_thread_state.inside == 0 && (f->_flags & file::has_descriptor) != 0 && f->_fileno >= 0) descriptor::closing(f->_fileno);
}

/// Opening it may wait for somebody: a FIFO's other end, a modem's carrier.
bool opens_slowly(const char* path) noexcept {
    if (path == nullptr) return false;
    const int saved_errno = errno;
    struct stat s {};
    const bool slow = ::stat(path, &s) == 0 && (S_ISFIFO(s.st_mode) || S_ISCHR(s.st_mode));
    errno = saved_errno;
    return slow;
}

/// A call that opens `path`.
template <call c, class... A>
FILE* open_by(const char* path, A... arguments) {
    if (!opens_slowly(path)) return real_of<c>()(path, arguments...);
    FILE* f = nullptr;
    blocking_call(true, [&]() noexcept {
        f = real_of<c>()(path, arguments...);
        return f == nullptr ? -1 : 0;
    });
    return f;
}

/// Writes out what the caller's locked FILE holds; false: errno says why not.
bool write_out(FILE* f) {
    return !file::has_output(*f) || file::nature_of(*f) != file::nature::waits || in_libc<call::fflush>(f) == 0;
}

template <call c>
FILE* reopen_by(const char* path, const char* mode, FILE* f) {
    const use here(f, true);
    write_out(f); // freopen does not say how the old file ended
    note_end(f);
    // What flockfile took belongs to this kernel thread.
    return file::is_locked_here(*f) ? in_libc<c>(path, mode, f) : open_by<c>(path, mode, f);
}

} // namespace

namespace {

template <class Format>
int print_short_by(FILE* f, va_list arguments, Format format) {
    if (!file::has_room{"", 0}(*f) || !stdio_lock::is_free(f) || file::is_locked(*f) || file::nature_of(*f) == file::nature::plain) return -1;
    char text[512];
    va_list copy;
    va_copy(copy, arguments);
    const int n = format(text, sizeof text, copy);
    va_end(copy);
    if (n < 0 || n >= static_cast<int>(sizeof text)) return -1;
    const auto size = static_cast<std::size_t>(n);
    return file::has_room{text, size}(*f) && real().fwrite(text, 1, size, f) == size ? n : -1;
}

} // namespace

int print_short(FILE* f, const char* format, va_list arguments) {
    return print_short_by(f, arguments, [=](char* to, std::size_t size, va_list a) { return ::vsnprintf(to, size, format, a); });
}

int print_short(FILE* f, int flag, const char* format, va_list arguments) {
    return print_short_by(f, arguments, [=](char* to, std::size_t size, va_list a) {
        return __vsnprintf_chk(to, size, flag, size, format, a);
    });
}

void before_input(const FILE& f) {
    FILE* const out = stdout;
    constexpr int relevant = file::linked | file::no_writes | file::line_buffered;
    if (&f == out || (out->_flags & relevant) != (file::linked | file::line_buffered) || !file::has_output(*out)) return;
    const int saved_errno = errno;
    served_on<call::fflush, locking::yes>(out, file::flushed{}, out);
    errno = saved_errno;
}

int flush(FILE* f) {
    if (f == nullptr) return flush_all({});
    return served_on<call::fflush, locking::yes>(f, file::flushed{}, f);
}

int flush_all(flush_options options) {
    int result = 0;
    dealt_with done;
    while (!done.full()) {
        FILE* next = nullptr;
        {
            const list_of_files all;
            all.for_each([&](FILE* f) noexcept {
                if (next != nullptr || !file::has_output(*f) || done.contains(f)) return;
                if (options.lines_only && (f->_flags & file::line_buffered) == 0) return;
                const bool at_once = file::nature_of(*f) == file::nature::plain && stdio_lock::is_free(f) && !file::is_locked(*f);
                if (!at_once) next = f;
                else if (real().__overflow(f, EOF) == EOF) result = EOF;
            });
            if (next != nullptr && !options.in_use && !stdio_lock::try_take(next)) {
                done.add(next);
                continue;
            }
        }
        if (next == nullptr) break;
        done.add(next);
        if (options.in_use) stdio_lock::take(next);
        bool lives = false;
        {
            const list_of_files all; // while we waited it may have been closed
            lives = all.contains(next);
        }
        if (lives && served_on<call::fflush, locking::yes>(next, file::flushed{}, next) == EOF) result = EOF;
        stdio_lock::give(next);
    }
    return result;
}

void flush_lines() { flush_all({.lines_only = true}); }

namespace {

int close(FILE* f) {
    if (file::nature_of(*f) == file::nature::callback) return served_on<call::fclose, locking::yes>(f, file::never{}, f);
    stdio_lock::take(f);
    bool written = false;
    {
        const use here(f, true); // not to the end, when there is no FILE any more
        written = write_out(f);
    }
    const int error = errno;
    note_end(f);
    const bool waits = functions_of(f) == process_functions || file::has_output(*f);
    const int result = waits ? in_libc<call::fclose>(f) : real().fclose(f);
    stdio_lock::give(f); // by its address only
    if (!written) errno = error;
    return written ? result : EOF;
}

} // namespace

int closed(FILE* f) {
    if (f == nullptr) return real().fclose(f);
    reopening(f);
    return serve<call::fclose>(close, f);
}

void reopening(FILE* f) noexcept {
    if (f != nullptr && !gate::open(family::stdio)) note_end(f);
}

int close_all() {
    flush_all({});
    return real().fcloseall();
}

FILE* open(const char* path, const char* mode) { return open_by<call::fopen>(path, mode); }
FILE* open64(const char* path, const char* mode) { return open_by<call::fopen64>(path, mode); }
FILE* reopen(const char* path, const char* mode, FILE* f) { return reopen_by<call::freopen>(path, mode, f); }
FILE* reopen64(const char* path, const char* mode, FILE* f) { return reopen_by<call::freopen64>(path, mode, f); }

FILE* opened(FILE* f) noexcept {
    if (f != nullptr) fd::made(f->_fileno);
    return f;
}

FILE* process_opened(FILE* f) noexcept {
    if (f != nullptr) __atomic_store_n(&process_functions, functions_of(f), __ATOMIC_RELAXED);
    return opened(f);
}

// --- Locks: held by the fiber against fibers, and by its kernel thread in libc against kernel threads ---

namespace {

/// Takes libc's lock for this kernel thread, whose fiber waits while another kernel thread has it. False: where libc's functions run on kernel
/// threads it is theirs to take, and is free now or was just so.
bool take_in_libc(FILE* f) noexcept {
    if (f->_lock == nullptr) return false;
    const bool here = trap::available();
    for (;;) {
        if (here ? real().ftrylockfile(f) == 0 : !file::is_locked(*f) || file::is_locked_here(*f)) return here;
        const int saved_errno = errno;
        auto wait = [f]() noexcept { // it only waits: the lock would be its own
            real().flockfile(f);
            real().funlockfile(f);
        };
        rt::on_kernel_thread(wait, rt::unbroken);
        errno = saved_errno;
    }
}

} // namespace

bool use::take(FILE* f) noexcept {
    stdio_lock::take(f);
    return !__libc_single_threaded && take_in_libc(f);
}

void use::give() noexcept {
    if (in_libc_) real().funlockfile(file_);
    stdio_lock::give(file_);
}

void lock(FILE* f) {
    stdio_lock::take(f);
    take_in_libc(f);
}

int try_lock(FILE* f) {
    if (!stdio_lock::try_take(f)) return -1;
    if (!file::is_locked(*f) || file::is_locked_here(*f)) {
        if (!trap::available() || real().ftrylockfile(f) == 0) return 0;
    }
    stdio_lock::give(f);
    return -1;
}

void unlock(FILE* f) noexcept {
    if (gate::is_on(family::stdio) && rt::this_thread_state.inside == 0) {
        stdio_lock::give(f);
        if (rt::this_thread_state.running != nullptr && !file::is_locked_here(*f)) return;
    }
    real().funlockfile(f);
}

void locked(FILE* f) noexcept {
    // Who comes to be served while it is held finds it held. Only a try: fibers take this one first, then libc's.
    if (gate::is_on(family::stdio) && rt::this_thread_state.inside == 0 && !gate::open(family::stdio)) stdio_lock::try_take(f);
}

void initialise() noexcept {
    stdio_lock::initialise();
    // Registered before anything of the program's: runs after it, and before libc writes out what is left.
    std::atexit([] {
        const trap::untrapped weft;
        if (gate::open(family::stdio)) flush_all({.in_use = false});
    });
}

} // namespace weft::shim::stdio
