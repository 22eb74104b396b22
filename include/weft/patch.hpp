// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <string_view>

namespace weft {

/// Which families of libc calls are cooperative. Members stay in this order; the defaults are a linked program's.
struct patch_options {
    bool io = true;       ///< sockets, pipes and other descriptors
    bool time = true;     ///< sleep and its kin
    bool dns = true;      ///< getaddrinfo and its kin, on kernel threads
    bool poll = true;     ///< poll, select
    bool stdio = true;    ///< buffered files; nothing is intercepted in this version
    bool process = true;  ///< waiting for children; nothing is intercepted in this version
    bool locks = true;    ///< pthread locks; nothing is intercepted in this version
    bool threads = false; ///< pthread_create makes green threads; nothing is intercepted in this version
    bool signal = true;   ///< handlers of signals: they interrupt served calls
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
