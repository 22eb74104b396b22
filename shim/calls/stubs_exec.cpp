// SPDX-License-Identifier: Apache-2.0
// exec, by one of several threads: the new program has that thread's signal mask, not what all threads block. Where it fails, nothing has changed.
#include "core/call_mask.hpp"
#include "core/real.hpp"

#include "core/thread_state.hpp"
#include <weft/export.hpp>

#include <cstdarg>
#include <cstddef>

#include <alloca.h>
#include <unistd.h>

namespace {

/// Makes the call; in a child of vfork, which shares its parent's memory, and no more than that.
template <class Call>
int replaced_by(Call call) noexcept {
    if (weft::rt::in_vforked_child()) return call();
    const weft::shim::program_mask here;
    return call();
}

/// With the null pointer.
std::size_t count(const char* first, va_list arguments) noexcept {
    if (first == nullptr) return 1;
    std::size_t n = 2;
    while (va_arg(arguments, const char*) != nullptr) ++n;
    return n;
}

void collect(const char** out, const char* first, va_list arguments) noexcept {
    *out = first;
    while (*out != nullptr) *++out = va_arg(arguments, const char*);
}

} // namespace

using weft::shim::real;

extern "C" {

WEFT_API int execve(const char* path, char* const arguments[], char* const environment[]) noexcept {
    return replaced_by([=]() noexcept { return real().execve(path, arguments, environment); });
}
WEFT_API int execv(const char* path, char* const arguments[]) noexcept {
    return replaced_by([=]() noexcept { return real().execv(path, arguments); });
}
WEFT_API int execvp(const char* file, char* const arguments[]) noexcept {
    return replaced_by([=]() noexcept { return real().execvp(file, arguments); });
}
WEFT_API int execvpe(const char* file, char* const arguments[], char* const environment[]) noexcept {
    return replaced_by([=]() noexcept { return real().execvpe(file, arguments, environment); });
}
WEFT_API int fexecve(int fd, char* const arguments[], char* const environment[]) noexcept {
    return replaced_by([=]() noexcept { return real().fexecve(fd, arguments, environment); });
}
WEFT_API int execveat(int directory, const char* path, char* const arguments[], char* const environment[], int flags) noexcept {
    return replaced_by([=]() noexcept { return real().execveat(directory, path, arguments, environment, flags); });
}

// With a list of arguments: as many as there are, and the null pointer.

WEFT_API int execl(const char* path, const char* first, ...) noexcept {
    va_list rest, again;
    va_start(rest, first);
    va_copy(again, rest);
    auto* const all = static_cast<const char**>(alloca(count(first, rest) * sizeof(char*)));
    collect(all, first, again);
    va_end(again);
    va_end(rest);
    return execv(path, const_cast<char**>(all));
}
WEFT_API int execlp(const char* file, const char* first, ...) noexcept {
    va_list rest, again;
    va_start(rest, first);
    va_copy(again, rest);
    auto* const all = static_cast<const char**>(alloca(count(first, rest) * sizeof(char*)));
    collect(all, first, again);
    va_end(again);
    va_end(rest);
    return execvp(file, const_cast<char**>(all));
}
WEFT_API int execle(const char* path, const char* first, ...) noexcept {
    va_list rest, again;
    va_start(rest, first);
    va_copy(again, rest);
    auto* const all = static_cast<const char**>(alloca(count(first, rest) * sizeof(char*)));
    collect(all, first, again); // the environment is behind them
    char* const* const environment = va_arg(again, char* const*);
    va_end(again);
    va_end(rest);
    return execve(path, const_cast<char**>(all), environment);
}

} // extern "C"
