// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for several descriptors: the served forms, each with the contract of its POSIX namesake.

#include <csignal>
#include <ctime>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

namespace weft::shim::polling {

/// Of a set longer than the process's table of descriptors the kernel reads and writes only so much, and programs pass getdtablesize() with sets
/// that are shorter. Descriptors of weft's own make the table longer than the program would have it.
int bounded(int count) noexcept;

int poll(pollfd* fds, nfds_t count, int timeout) noexcept;
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) noexcept;
int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) noexcept;
int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
            const sigset_t* mask) noexcept;

int epoll_wait(int set, epoll_event* events, int most, int timeout) noexcept;
int epoll_pwait(int set, epoll_event* events, int most, int timeout, const sigset_t* mask) noexcept;
int epoll_pwait2(int set, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask) noexcept;
/// Never waits; but what weft itself watches must not be in its way.
int epoll_ctl(int set, int operation, int fd, epoll_event* event) noexcept;

} // namespace weft::shim::polling
