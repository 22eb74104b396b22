// SPDX-License-Identifier: Apache-2.0
#include "threads/names.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"
#include "threads/tid.hpp"

#include "core/carrier.hpp"
#include "core/sys.hpp"
#include <weft/export.hpp>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/prctl.h>

namespace weft::shim::names {

namespace {

using rt::sys::arg;
using rt::sys::call;

bool is_main(const green_thread& t) noexcept { return !tid::is_green(t.tid); }

/// The file in which the kernel has the main thread's name, whichever kernel thread asks.
int of_main(int flags, void* buffer, std::size_t bytes) noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/task/%d/comm", rt::sys::getpid());
    const long fd = call(SYS_openat, AT_FDCWD, arg(path), flags | O_CLOEXEC);
    if (fd < 0) return static_cast<int>(-fd);
    const long n = call(flags == O_RDONLY ? SYS_read : SYS_write, fd, arg(buffer), static_cast<long>(bytes));
    call(SYS_close, fd);
    if (n < 0) return static_cast<int>(-n);
    if (flags != O_RDONLY) return 0;
    auto* const text = static_cast<char*>(buffer);
    text[n > 0 && text[n - 1] == '\n' ? n - 1 : n] = 0;
    return 0;
}

bool on_main_thread() noexcept { return rt::sys::gettid() == rt::sys::getpid(); }

} // namespace

int set(green_thread& t, const char* name) noexcept {
    char copy[size] = {};
    std::strncpy(copy, name, size - 1);
    std::memcpy(t.name, copy, size);
    if (!is_main(t)) return 0;
    rt::watchdog::main_is_called(copy);
    if (on_main_thread()) return static_cast<int>(-call(SYS_prctl, PR_SET_NAME, arg(copy)));
    return of_main(O_WRONLY, copy, std::strlen(copy));
}

int get(const green_thread& t, char (&out)[size]) noexcept {
    if (!is_main(t)) std::memcpy(out, t.name, size);
    else if (on_main_thread()) return static_cast<int>(-call(SYS_prctl, PR_GET_NAME, arg(out)));
    else return of_main(O_RDONLY, out, size);
    return 0;
}

void remember(green_thread& main) noexcept { call(SYS_prctl, PR_GET_NAME, arg(main.name)); }

void inherit(green_thread& made, const green_thread* maker) noexcept {
    if (maker != nullptr) std::memcpy(made.name, maker->name, size);
    else remember(made);
}

void after_fork(green_thread& me) noexcept { call(SYS_prctl, PR_SET_NAME, arg(me.name)); }

long prctl(int option, long a, long b, long c, long d) noexcept {
    green_thread* const me = green::self();
    if (me == nullptr || (option != PR_SET_NAME && option != PR_GET_NAME)) return call(SYS_prctl, option, a, b, c, d);
    const int saved_errno = errno;
    long result = 0;
    char name[size] = {};
    if (option == PR_SET_NAME) {
        // The kernel reads no further than the name's end.
        for (std::size_t i = 0; i < size - 1 && result == 0; ++i) {
            if (!copy_from_caller(name + i, reinterpret_cast<const char*>(a) + i, 1)) result = -EFAULT;
            if (name[i] == 0) break;
        }
        if (result == 0) result = -set(*me, name);
    } else if (result = -get(*me, name); result == 0 && !copy_to_caller(reinterpret_cast<char*>(a), name, size)) {
        result = -EFAULT;
    }
    errno = saved_errno;
    return result;
}

namespace {

int set_name(pthread_t id, const char* name) noexcept {
    green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_setname_np(id, name);
    return std::strlen(name) >= size ? ERANGE : set(*t, name);
}

int get_name(pthread_t id, char* out, std::size_t room) noexcept {
    const green_thread* const t = green::of(id);
    if (t == nullptr) return real().pthread_getname_np(id, out, room);
    if (room < size) return ERANGE;
    char name[size] = {};
    const int error = get(*t, name);
    if (error == 0) std::memcpy(out, name, size);
    return error;
}

} // namespace

} // namespace weft::shim::names

using weft::shim::call;
using weft::shim::serve_thread;
namespace names = weft::shim::names;

extern "C" {

WEFT_API int pthread_setname_np(pthread_t id, const char* name) noexcept {
    return serve_thread<call::pthread_setname_np>(names::set_name, id, name);
}
WEFT_API int pthread_getname_np(pthread_t id, char* out, std::size_t room) noexcept {
    return serve_thread<call::pthread_getname_np>(names::get_name, id, out, room);
}
WEFT_API int prctl(int option, ...) noexcept {
    va_list rest;
    va_start(rest, option);
    const long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long), d = va_arg(rest, long); // given or not: registers
    va_end(rest);
    const long result = serve_thread<call::prctl>(names::prctl, option, a, b, c, d);
    if (result < 0) errno = static_cast<int>(-result);
    return result < 0 ? -1 : static_cast<int>(result);
}

} // extern "C"
