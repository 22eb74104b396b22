// SPDX-License-Identifier: Apache-2.0
#include "calls/fd.hpp"

#include "calls/blocking.hpp"
#include "core/private_fd.hpp"
#include "core/real.hpp"
#include "core/sys.hpp"

namespace weft::shim::fd {

namespace {

bool weft_calls() noexcept { return rt::this_thread_state.inside > 0; }

/// Whether closing it may wait for what was sent (SO_LINGER), on a fiber, where others would have to wait too.
bool closes_slowly(int fd) noexcept {
    if (!gate::open(family::io) || descriptor::of(fd).kind(fd) != fd_kind::socket) return false;
    linger wanted{};
    socklen_t size = sizeof wanted;
    return rt::sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, rt::sys::arg(&wanted), rt::sys::arg(&size)) == 0 &&
           wanted.l_onoff != 0 && wanted.l_linger > 0;
}

/// A close is never refused, whatever happens to the fiber; what interrupts it only ends the wait.
template <class F>
int close_by(bool slowly, F call) noexcept {
    if (!slowly) return call();
    const errno_of_success success;
    const signals::wait signals;
    const int result = rt::on_kernel_thread(call);
    return result >= 0 ? success(result) : result;
}

} // namespace

int made(int fd) noexcept {
    if (fd < 0) return fd;
    if (weft_calls()) return rt::make_private(fd); // libev's own: out of the program's way
    descriptor::opened(fd);
    return fd;
}

int made_pair(int result, const int fds[2]) noexcept {
    if (result != 0 || weft_calls()) return result;
    descriptor::opened(fds[0]);
    descriptor::opened(fds[1]);
    return result;
}

int close(int fd) noexcept {
    if (weft_calls()) {
        if (!rt::is_private(fd)) return real().close(fd);
        rt::forget_private(fd);
        return 0;
    }
    if (rt::is_private(fd)) return fail(EBADF);
    const bool slowly = closes_slowly(fd);
    descriptor::closing(fd);
    return close_by(slowly, [=]() noexcept { return real().close(fd); });
}

int close_file(FILE* file) noexcept {
    const int fd = file == nullptr ? -1 : ::fileno(file);
    if (fd >= 0) descriptor::closing(fd);
    return real().fclose(file);
}

int replace(int from, int to, int flags, bool with_flags) noexcept {
    if (rt::is_private(to) && !weft_calls()) return fail(EBADF);
    const bool valid = from != to && from >= 0 && to >= 0 && real().fcntl(from, F_GETFD) >= 0;
    const bool slowly = valid && closes_slowly(to);
    if (valid) descriptor::closing(to);
    const int result = close_by(slowly, [=]() noexcept { return with_flags ? real().dup3(from, to, flags) : real().dup2(from, to); });
    if (valid && result >= 0) descriptor::opened(to);
    return result;
}

int set_option(int fd, int level, int name, const void* value, socklen_t size) noexcept {
    const int result = real().setsockopt(fd, level, name, value, size);
    if (result == 0 && level == SOL_SOCKET && name == SO_RCVLOWAT) descriptor::low_water_mark_set();
    return result;
}

int control(int (*real_fcntl)(int, int, ...), int fd, int command, void* argument) noexcept {
    const int result = real_fcntl(fd, command, argument);
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0) made(result);
    return result;
}

} // namespace weft::shim::fd
