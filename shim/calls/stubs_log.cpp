// SPDX-License-Identifier: Apache-2.0
// Messages: on stderr (err, warn, error, perror and their kin) and to the log daemon.
#include "calls/stdio.hpp"
#include "core/descriptor.hpp"

#include <weft/export.hpp>

#include <cstdlib>

using weft::shim::call;
using weft::shim::family;
using weft::shim::gate;
using weft::shim::serve;
using weft::shim::file::never;
using weft::shim::stdio::in_libc;
using weft::shim::stdio::on_file;
namespace stdio = weft::shim::stdio;

namespace {

/// A message on stderr by libc's function of that call. It is made whole first, as libc's has no form that takes a va_list.
template <call c, class... A>
void report(const char* format, va_list arguments, A... before) {
    if (gate::open(family::stdio)) stdio::flush(stdout); // as libc's does, but without keeping stdout while stderr waits
    char* text = nullptr;
    if (vasprintf(&text, format, arguments) < 0) text = nullptr;
    on_file<c>(stderr, never{}, before..., "%s", text == nullptr ? format : text);
    std::free(text);
}

/// The log's functions share one connexion under a lock of libc's, which fibers of a kernel thread must not meet.
template <call c, class... A>
void log(A... arguments) {
    static constinit FILE connexion{};
    serve<c>(
        [](A... a) {
            const stdio::use here(&connexion, true);
            in_libc<c>(a...);
        },
        arguments...);
}

} // namespace

extern "C" {

WEFT_API void perror(const char* text) { on_file<call::perror>(stderr, never{}, text); }
WEFT_API void psignal(int number, const char* text) { on_file<call::psignal>(stderr, never{}, number, text); }
WEFT_API void psiginfo(const siginfo_t* info, const char* text) { on_file<call::psiginfo>(stderr, never{}, info, text); }

WEFT_API int fmtmsg(long kind, const char* label, int severity, const char* text, const char* action, const char* tag) {
    return on_file<call::fmtmsg>(stderr, never{}, kind, label, severity, text, action, tag);
}

WEFT_API void vwarn(const char* format, va_list arguments) { on_file<call::vwarn>(stderr, never{}, format, arguments); }
WEFT_API void vwarnx(const char* format, va_list arguments) { on_file<call::vwarnx>(stderr, never{}, format, arguments); }
WEFT_API void warn(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    vwarn(format, rest);
    va_end(rest);
}
WEFT_API void warnx(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    vwarnx(format, rest);
    va_end(rest);
}
// exit() runs the program's functions: where it was called.
WEFT_API void verr(int status, const char* format, va_list arguments) {
    vwarn(format, arguments);
    exit(status);
}
WEFT_API void verrx(int status, const char* format, va_list arguments) {
    vwarnx(format, arguments);
    exit(status);
}
WEFT_API void err(int status, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    verr(status, format, rest);
}
WEFT_API void errx(int status, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    verrx(status, format, rest);
}
WEFT_API void error(int status, int number, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    report<call::error>(format, rest, 0, number);
    va_end(rest);
    if (status != 0) exit(status);
}
WEFT_API void error_at_line(int status, int number, const char* file, unsigned line, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    report<call::error_at_line>(format, rest, 0, number, file, line);
    va_end(rest);
    if (status != 0) exit(status);
}

// --- The log ---

WEFT_API void openlog(const char* name, int options, int facility) { log<call::openlog>(name, options, facility); }
WEFT_API void closelog() { log<call::closelog>(); }
WEFT_API void vsyslog(int priority, const char* format, va_list arguments) { log<call::vsyslog>(priority, format, arguments); }
WEFT_API void __vsyslog_chk(int priority, int flag, const char* format, va_list arguments) {
    log<call::__vsyslog_chk>(priority, flag, format, arguments);
}
WEFT_API void syslog(int priority, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    vsyslog(priority, format, rest);
    va_end(rest);
}
WEFT_API void __syslog_chk(int priority, int flag, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    __vsyslog_chk(priority, flag, format, rest);
    va_end(rest);
}

// --- A word from the terminal, words from a shell ---

WEFT_API char* getpass(const char* prompt) {
    return serve<call::getpass>(in_libc<call::getpass, const char*>, prompt);
}
WEFT_API int wordexp(const char* words, wordexp_t* result, int flags) {
    weft::shim::descriptor::child_begins();
    return serve<call::wordexp>(in_libc<call::wordexp, const char*, wordexp_t*, int>, words, result, flags);
}

} // extern "C"
