// SPDX-License-Identifier: Apache-2.0
// Two calls of which few know that they wait, and twins of common ones.
#include "calls/blocking.hpp"
#include "core/inner.hpp"

#include <weft/export.hpp>

#include <sys/klog.h>

namespace weft::shim {

namespace {

/// The kernel's log is read as it comes.
int klogctl(int action, char* buffer, int size) noexcept {
    constexpr int read_next = 2;
    if (action != read_next) return real().klogctl(action, buffer, size);
    return blocking_call(true, [=]() noexcept { return real().klogctl(action, buffer, size); });
}

/// Looks the host's name up where no /etc/hostid says better.
long gethostid() noexcept { return inner<call::gethostid>(); }

} // namespace

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;

extern "C" {

WEFT_API int klogctl(int action, char* buffer, int size) noexcept {
    return serve<call::klogctl>(weft::shim::klogctl, action, buffer, size);
}
WEFT_API long gethostid() { return serve<call::gethostid>(weft::shim::gethostid); }
WEFT_API int __poll(pollfd* fds, nfds_t count, int timeout) { return poll(fds, count, timeout); }
WEFT_API int __select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
    return select(count, readable, writable, exceptional, timeout);
}
WEFT_API int __sched_yield() noexcept { return sched_yield(); }

} // extern "C"
