// SPDX-License-Identifier: Apache-2.0
#include "threads/identity.hpp"

#include "core/stats.hpp"
#include "threads/robust.hpp"

#include "core/sys.hpp"

#include <dlfcn.h>

namespace weft::shim {

constinit std::ptrdiff_t tid_offset = 0;
constinit std::ptrdiff_t quick_tid_offset = 0;
constinit std::uint32_t process_salt = 0;

std::uint32_t ask_tid() noexcept { return static_cast<std::uint32_t>(rt::sys::gettid()); }

void identity_initialise() noexcept {
    robust::initialise();
    identity_after_fork();
    // What libc exports for debuggers: bits, count and offset of the member. Believed only if it says what the kernel says.
    const auto* member = static_cast<const std::uint32_t*>(::dlsym(RTLD_DEFAULT, "_thread_db_pthread_tid"));
    if (member == nullptr || member[0] != 32 || member[2] < 64 || member[2] > 4096) return;
    tid_offset = static_cast<std::ptrdiff_t>(member[2]);
    if (this_tid() != ask_tid()) tid_offset = 0;
    quick_tid_offset = stats::counting ? 0 : tid_offset;
}

void identity_after_fork() noexcept {
    process_salt = static_cast<std::uint32_t>(rt::sys::getpid()) * 0x9e3779b1U;
}

} // namespace weft::shim
