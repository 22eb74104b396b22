// SPDX-License-Identifier: Apache-2.0
#include "net/server_core.hpp"

#include "core/fork.hpp"
#include "core/parkable.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"

#include <weft/errors.hpp>
#include <weft/fiber.hpp>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft::rt {

namespace {

constexpr int clients_a_turn = 16; // then the handlers have their turn

} // namespace

server_core::server_core(server_address address, const server_options& options, int type)
    : keeps_socket_(type == SOCK_DGRAM), text_(address.text()), given_fd_(address.fd()), options_(options), type_(type),
      generation_(fork_generation()) {
    watch_forks();
    if (given_fd_ < 0 && text_.empty()) throw std::invalid_argument("weft: a server needs an address");
    if (options.workers == 0) throw std::invalid_argument("weft: a server needs a worker");
    set_pool(options.pool);
}

void server_core::set_pool(std::size_t places) {
    if (is_started()) throw std::logic_error("weft: the pool of a server that runs");
    own_handlers_ = places == 0 ? std::make_unique<group>() : std::make_unique<pool>(places);
    handlers_ = own_handlers_.get();
}

void server_core::set_pool(group& handlers) {
    if (is_started()) throw std::logic_error("weft: the pool of a server that runs");
    own_handlers_.reset();
    handlers_ = &handlers;
}

std::string server_core::address() const {
    if (bound_.family() != 0) return bound_.to_string();
    return given_fd_ >= 0 ? address_of(given_fd_).to_string() : text_;
}

std::uint16_t server_core::port() const { return bound_.family() != 0 || given_fd_ < 0 ? bound_.port() : address_of(given_fd_).port(); }

// --- Start ---

void server_core::open_sockets() {
    const bool shares = options_.workers > 1 || options_.reuse_port;
    if (given_fd_ >= 0) {
        const int copy = ::fcntl(given_fd_, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) throw_errno(errno, "weft: the socket of a server");
        sockets_.emplace_back(copy);
        int kind = 0;
        socklen_t size = sizeof kind;
        if (::getsockopt(copy, SOL_SOCKET, SO_TYPE, &kind, &size) != 0) throw_errno(errno, "weft: the socket of a server");
        if (kind != type_ && !(kind == SOCK_SEQPACKET && type_ == SOCK_STREAM)) throw_errno(EPROTOTYPE, "weft: the socket of a server");
    } else {
        const listen_options how{type_ == SOCK_DGRAM ? 0 : std::max(options_.backlog, 1), shares};
        sockets_.push_back(bind_socket(resolve(text_, type_, true), type_, how));
        bound_ = address_of(sockets_.front().get());
        struct stat s{};
        const std::string path = bound_.family() == AF_UNIX ? bound_.host() : std::string();
        removes_path_ = !path.empty() && path[0] != '@' && ::lstat(path.c_str(), &s) == 0;
        path_device_ = s.st_dev;
        path_inode_ = s.st_ino;
        endpoint same; // the port that the first was given
        same.addresses.push_back(bound_);
        same.any = resolve(text_, type_, true).any;
        while (shares && bound_.family() != AF_UNIX && sockets_.size() < options_.workers) sockets_.push_back(bind_socket(same, type_, how));
    }
    bound_ = address_of(sockets_.front().get());
    while (sockets_.size() < options_.workers) { // it cannot be bound twice: the workers share it
        const int copy = ::fcntl(sockets_.front().get(), F_DUPFD_CLOEXEC, 0);
        if (copy < 0) throw_errno(errno, "weft: the socket of a server");
        readiness::opened(copy);
        sockets_.emplace_back(copy);
    }
    for (const socket_fd& s : sockets_) prepare(s.get());
}

void server_core::close_sockets() noexcept {
    sockets_.clear();
    if (!removes_path_ || generation_ != fork_generation()) return;
    removes_path_ = false;
    const std::string path = bound_.host();
    struct stat s{};
    if (::lstat(path.c_str(), &s) == 0 && s.st_dev == path_device_ && s.st_ino == path_inode_) ::unlink(path.c_str());
}

void server_core::start() {
    forget_parent();
    if (phase_.load(std::memory_order_acquire) != phase::idle) return;
    try {
        open_sockets();
        error_.store(0, std::memory_order_relaxed);
        stopped_.clear();
        start_workers();
    } catch (...) {
        for (const auto& w : workers_) w->close_door(std::chrono::nanoseconds(0));
        for (const auto& w : workers_) w->end();
        workers_.clear();
        close_sockets();
        throw;
    }
    phase_.store(phase::running, std::memory_order_release);
}

void server_core::start_workers() {
    if (options_.workers == 1 && options_.kind == worker_kind::threads) {
        workers_.push_back(make_fiber_worker(*this, sockets_.front().get()));
        return;
    }
    for (std::size_t i = 0; i < sockets_.size(); ++i)
        workers_.push_back(options_.kind == worker_kind::threads ? make_thread_worker(*this, sockets_[i].get()) : make_process_worker(*this, i));
}

// --- Clients ---

void server_core::accept_clients(int fd) noexcept {
    std::chrono::nanoseconds pause = options_.min_delay;
    int in_a_row = 0;
    for (;;) {
        try {
            handlers().wait_available();
            taken what = taken::nothing;
            int error = 0;
            {
                const no_interruption whole; // a client that was taken gets its handler
                what = take_one(fd);
                error = errno;
            }
            if (what != taken::no_room) pause = options_.min_delay;
            switch (what) {
            case taken::client:
            case taken::retry:
                if (++in_a_row % clients_a_turn == 0) this_fiber::yield();
                break;
            case taken::nothing:
                in_a_row = 0;
                wait_socket(fd, false, {}, "weft: accept");
                break;
            case taken::no_room:
                this_fiber::sleep_for(pause);
                pause = std::min(pause * 2, std::max(options_.max_delay, options_.min_delay));
                break;
            case taken::failed:
                error_.store(error, std::memory_order_relaxed);
                stopped_.set();
                return;
            }
        } catch (const fiber_exit&) {
            return;
        } catch (const std::system_error& e) { // of wait_socket: no memory to watch it, or somebody has closed it
            if (e.code().value() == ECANCELED) continue;
            error_.store(e.code().value(), std::memory_order_relaxed);
            stopped_.set();
            return;
        } catch (...) {
            return; // kill_with something else
        }
    }
}

void server_core::accept_rest(int fd, deadline d) {
    const int most = type_ == SOCK_DGRAM ? 1024 : std::max(options_.backlog, 1) + 1;
    for (int i = 0; i < most; ++i) {
        pollfd p{fd, POLLIN, 0};
        if (sys::call(SYS_poll, sys::arg(&p), 1, 0) <= 0 || !handlers().wait_available(d)) return;
        const no_interruption whole;
        const taken what = take_one(fd);
        if (what != taken::client && what != taken::retry) return;
    }
}

// --- Stop ---

/// In a child of fork the parent's server does not run: its sockets are let go of, nobody is waited for.
void server_core::forget_parent() noexcept {
    if (generation_ == fork_generation()) return;
    for (auto& w : workers_) static_cast<void>(w.release()); // parts of threads and fibers that do not exist here
    workers_.clear();
    removes_path_ = false;
    close_sockets();
    phase_.store(phase::idle, std::memory_order_relaxed);
    generation_ = fork_generation();
}

bool server_core::end_handlers(deadline d) {
    any_fiber self;
    if (current_parkable().is_fiber()) self = this_fiber::self();
    if (self && handlers().contains(self)) handlers().discard(self);
    if (handlers().join(d)) return true;
    handlers().kill();
    return false;
}

bool server_core::stop(deadline d) {
    forget_parent();
    phase was = phase::running;
    if (!phase_.compare_exchange_strong(was, phase::stopping, std::memory_order_acq_rel))
        return was == phase::idle || end_handlers(d); // somebody else stops it, perhaps with a later deadline
    for (const auto& w : workers_) w->close_door(d);
    bool none_killed = false;
    try {
        if (options_.kind == worker_kind::threads)
            for (const socket_fd& s : sockets_) accept_rest(s.get(), d);
        if (!keeps_socket_) close_sockets();
        none_killed = end_handlers(d);
    } catch (...) { // it is left: as at the deadline
        const no_interruption on_the_way_out;
        for (const auto& w : workers_) w->close_door(std::chrono::nanoseconds(0));
        end_handlers(std::chrono::nanoseconds(0));
        finish();
        throw;
    }
    return finish() && none_killed;
}

/// False: workers had to kill handlers of theirs.
bool server_core::finish() {
    bool none_killed = true;
    for (const auto& w : workers_) none_killed &= w->end();
    workers_.clear();
    close_sockets();
    phase_.store(phase::idle, std::memory_order_release);
    stopped_.set();
    return none_killed;
}

void server_core::serve_forever() {
    start();
    try {
        stopped_.wait();
    } catch (...) {
        const no_interruption on_the_way_out;
        stop(std::chrono::nanoseconds(0));
        throw;
    }
    const int error = error_.load(std::memory_order_relaxed);
    if (error == 0) return;
    stop(std::chrono::nanoseconds(0));
    throw_errno(error, "weft: accept");
}

/// In a child made by fork, whose calling fiber is its main.
bool server_core::serve_here(std::size_t which, int control) {
    generation_ = fork_generation();
    removes_path_ = false;
    for (auto& w : workers_) static_cast<void>(w.release());
    workers_.clear();
    for (std::size_t i = 0; i < sockets_.size(); ++i)
        if (i != which) sockets_[i].reset();
    const int fd = sockets_[which].get();
    readiness::opened(fd);
    auto accepting = spawn([this, fd] { accept_clients(fd); });
    deadline until = std::chrono::nanoseconds(0); // the parent is gone
    for (;;) {
        std::int64_t ns = 0;
        wait_socket(control, false, {}, "weft: worker");
        const ssize_t n = ::read(control, &ns, sizeof ns);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n == static_cast<ssize_t>(sizeof ns)) until = ns == INT64_MAX ? deadline() : deadline(std::chrono::nanoseconds(ns));
        break;
    }
    accepting.kill();
    accept_rest(fd, until);
    if (!keeps_socket_) sockets_[which].reset();
    return end_handlers(until);
}

} // namespace weft::rt
