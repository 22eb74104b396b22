// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <string_view>

namespace weft {

/// Which families of libc calls are cooperative. Members stay in this order; the defaults are a linked program's.
struct patch_options {
    bool io = true;       ///< sockets, pipes and other descriptors; locks on files, message queues
    bool time = true;     ///< sleep and its kin
    bool dns = true;      ///< getaddrinfo and its kin, users, groups and services: on kernel threads
    bool poll = true;     ///< poll, select, epoll
    bool stdio = true;    ///< FILEs on pipes, sockets and terminals; popen, syslog
    bool process = true;  ///< waiting for children; system
    bool locks = true;    ///< pthread's mutexes, conditions, semaphores and so on, C11's, futexes
    bool threads = false; ///< pthread_create makes green threads
    bool signal = true;   ///< handlers run on the stack of who takes the signal; waiting for signals
};

/// Switches the families, for the whole process and from now on. A program linked with `weft::shim` starts with the defaults above;
/// one that is preloaded with all on. The functions of this header are in libweft-shim.
///
/// @code
/// weft::patch_all({.dns = false});            // resolve names on the calling kernel thread
/// bool cooperative = weft::is_patched("recv");
/// void* libc_recv = weft::original("recv");   // the function behind it
/// (void)cooperative, (void)libc_recv;
/// @endcode
WEFT_API void patch_all(patch_options options = {});

/// Whether a call of that name is intercepted and its family is on.
WEFT_API bool is_patched(std::string_view name) noexcept;

/// libc's own function of that name, to be cast to its type; nullptr if weft does not intercept it.
WEFT_API void* original(std::string_view name) noexcept;

} // namespace weft
