// SPDX-License-Identifier: Apache-2.0
// The exported names of the process family: stubs only, the policy is behind them.
#include "calls/children.hpp"
#include "calls/process.hpp"
#include "core/call_mask.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <cstdarg>

using weft::shim::call;
using weft::shim::family;
using weft::shim::real;
using weft::shim::serve;
namespace process = weft::shim::process;

extern "C" {

WEFT_API pid_t wait(int* status) { return serve<call::wait>(process::wait, status); }
WEFT_API pid_t __wait(int* status) { return serve<call::__wait>(process::wait, status); }
WEFT_API pid_t waitpid(pid_t pid, int* status, int options) {
    return serve<call::waitpid>(process::waitpid, pid, status, options);
}
WEFT_API pid_t __waitpid(pid_t pid, int* status, int options) {
    return serve<call::__waitpid>(process::waitpid, pid, status, options);
}
// The headers say that these two throw nothing; but they are cancellation points.
WEFT_API pid_t weft_wait3(int* status, int options, rusage* usage) __asm__("wait3");
WEFT_API pid_t weft_wait3(int* status, int options, rusage* usage) {
    return serve<call::wait3>(process::wait3, status, options, usage);
}
WEFT_API pid_t weft_wait4(pid_t pid, int* status, int options, rusage* usage) __asm__("wait4");
WEFT_API pid_t weft_wait4(pid_t pid, int* status, int options, rusage* usage) {
    return serve<call::wait4>(process::wait4, pid, status, options, usage);
}
WEFT_API int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
    return serve<call::waitid>([](auto... a) noexcept { return process::waitid(a..., nullptr); }, type, id, info, options);
}

// Making children
WEFT_API int system(const char* line) {
    if (weft::rt::in_vforked_child()) return real().system(line);
    return weft::shim::serve_or<call::system>(process::system, process::bare_system, line);
}
WEFT_API pid_t fork() noexcept { return process::fork(real().fork); }
WEFT_API pid_t __fork() noexcept { return process::fork(real().__fork); }
WEFT_API pid_t _Fork() noexcept { return process::bare_fork(); }
WEFT_API int clone(int (*function)(void*), void* stack, int flags, void* argument, ...) noexcept {
    va_list rest;
    va_start(rest, argument);
    pid_t* parent_tid = va_arg(rest, pid_t*);
    void* tls = va_arg(rest, void*);
    pid_t* child_tid = va_arg(rest, pid_t*);
    va_end(rest);
    return process::clone(function, stack, flags, argument, parent_tid, tls, child_tid);
}
WEFT_API int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...) noexcept __attribute__((alias("clone")));
WEFT_API int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* how,
                         char* const arguments[], char* const environment[]) {
    const weft::shim::program_mask here;
    return real().posix_spawn(pid, path, actions, how, arguments, environment);
}
WEFT_API int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* how,
                          char* const arguments[], char* const environment[]) {
    const weft::shim::program_mask here;
    return real().posix_spawnp(pid, file, actions, how, arguments, environment);
}
WEFT_API int daemon(int keep_directory, int keep_standard) noexcept {
    const int result = real().daemon(keep_directory, keep_standard);
    return keep_standard != 0 ? result : process::standard_replaced(result);
}
WEFT_API int openpty(int* master, int* slave, char* name, const termios* settings, const winsize* size) noexcept {
    return process::open_pty(master, slave, name, settings, size);
}
WEFT_API int forkpty(int* master, char* name, const termios* settings, const winsize* size) noexcept {
    return process::fork_pty(master, name, settings, size);
}
WEFT_API int login_tty(int fd) noexcept { return process::login_tty(fd); }

} // extern "C"
