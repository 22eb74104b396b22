// SPDX-License-Identifier: Apache-2.0
// An epoll set of its own, whose own readiness the hub waits for.
#include <weft/select.hpp>

#include "core/fork.hpp"
#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"
#include "net/endpoint.hpp"

#include <weft/detail/waiter.hpp>
#include <weft/fiber.hpp>

#include <algorithm>
#include <cerrno>

#include <sys/epoll.h>

namespace weft {

namespace {

constexpr const char* what = "weft::selector";
constexpr unsigned both = selector::read | selector::write;

constexpr std::uint32_t to_kernel(unsigned events) noexcept {
    return ((events & selector::read) != 0 ? std::uint32_t{EPOLLIN} | EPOLLRDHUP : 0) | ((events & selector::write) != 0 ? std::uint32_t{EPOLLOUT} : 0);
}

constexpr unsigned from_kernel(std::uint32_t events) noexcept {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return both;
    return ((events & (EPOLLIN | EPOLLRDHUP)) != 0 ? selector::read : 0) | ((events & EPOLLOUT) != 0 ? selector::write : 0);
}

} // namespace

selector::selector() : generation_(rt::fork_generation()) {
    rt::watch_forks();
    open();
}

selector::~selector() { close(); }

void selector::open() {
    const rt::inside_weft inside;
    set_ = rt::make_private(::epoll_create1(EPOLL_CLOEXEC));
    if (set_ < 0) rt::throw_errno(errno, what);
    rt::readiness::opened(set_);
}

void selector::close() noexcept {
    if (set_ >= 0) rt::readiness::closing(set_);
    rt::forget_private(set_);
    keys_.clear();
    always_.clear();
}

/// The parent's set is not ours to change.
void selector::heed_fork() {
    if (set_ < 0) open(); // it was closed
    if (generation_ == rt::fork_generation()) return;
    generation_ = rt::fork_generation();
    rt::forget_private(set_);
    open();
    for (const auto& [fd, k] : keys_) {
        if (std::find(always_.begin(), always_.end(), fd) == always_.end()) control(EPOLL_CTL_ADD, fd, k.events);
    }
}

void selector::control(int operation, int fd, unsigned events) {
    epoll_event e{};
    e.events = to_kernel(events);
    e.data.fd = fd;
    const long result = rt::sys::call(SYS_epoll_ctl, set_, operation, fd, rt::sys::arg(&e));
    if (result == -EPERM && operation == EPOLL_CTL_ADD) always_.push_back(fd);
    else if (result < 0) rt::throw_errno(static_cast<int>(-result), what);
}

void selector::register_(int fd, unsigned events, std::any data) {
    if (events == 0 || (events & ~both) != 0) rt::throw_errno(EINVAL, what);
    heed_fork();
    if (const auto known = keys_.find(fd); known != keys_.end()) {
        // One that was closed has left the set, and its number may mean another by now.
        if (std::find(always_.begin(), always_.end(), fd) != always_.end()) rt::throw_errno(EEXIST, what);
        control(EPOLL_CTL_ADD, fd, events);
        keys_.erase(known);
    } else {
        control(EPOLL_CTL_ADD, fd, events);
    }
    keys_.emplace(fd, key{fd, events, std::move(data)});
}

void selector::modify(int fd, unsigned events, std::any data) {
    if (events == 0 || (events & ~both) != 0) rt::throw_errno(EINVAL, what);
    heed_fork();
    const auto known = keys_.find(fd);
    if (known == keys_.end()) rt::throw_errno(ENOENT, what);
    if (std::find(always_.begin(), always_.end(), fd) == always_.end()) control(EPOLL_CTL_MOD, fd, events);
    known->second.events = events;
    known->second.data = std::move(data);
}

selector::key selector::unregister(int fd) {
    heed_fork();
    const auto known = keys_.find(fd);
    if (known == keys_.end()) rt::throw_errno(ENOENT, what);
    key k = std::move(known->second);
    keys_.erase(known);
    if (std::erase(always_, fd) == 0) rt::sys::call(SYS_epoll_ctl, set_, EPOLL_CTL_DEL, fd, 0); // unless it has left already
    return k;
}

const selector::key* selector::get_key(int fd) const noexcept {
    const auto known = keys_.find(fd);
    return known == keys_.end() ? nullptr : &known->second;
}

/// Whether something is ready.
bool selector::collect(std::vector<key>& found) {
    for (const int fd : always_) found.push_back(keys_.at(fd));
    std::vector<epoll_event> events(std::max<std::size_t>(keys_.size(), 1));
    const long n = rt::sys::call(SYS_epoll_wait, set_, rt::sys::arg(events.data()), static_cast<long>(events.size()), 0);
    if (n < 0 && n != -EINTR) rt::throw_errno(static_cast<int>(-n), what);
    for (long i = 0; i < n; ++i) {
        const epoll_event& e = events[static_cast<std::size_t>(i)];
        const auto known = keys_.find(e.data.fd);
        if (known == keys_.end()) continue;
        key k = known->second;
        k.events &= from_kernel(e.events);
        if (k.events != 0) found.push_back(std::move(k));
    }
    return !found.empty();
}

std::vector<selector::key> selector::select(deadline d) {
    heed_fork();
    std::vector<key> found;
    rt::interruption_point();
    for (;;) {
        if (collect(found)) {
            rt::socket_went_through();
            return found;
        }
        if (!rt::wait_socket(set_, false, d, what)) {
            collect(found);
            return found;
        }
    }
}

} // namespace weft
