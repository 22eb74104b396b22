// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a server is made of: its sockets, those who take clients from them, and the group that the handlers are in.

#include "net/endpoint.hpp"

#include <weft/event.hpp>
#include <weft/pool.hpp>
#include <weft/server.hpp>

#include <atomic>
#include <memory>
#include <vector>

namespace weft::rt {

/// Who takes clients from one socket.
class server_worker {
public:
    server_worker() = default;
    server_worker(const server_worker&) = delete;
    server_worker& operator=(const server_worker&) = delete;
    virtual ~server_worker() = default;
    /// Takes no more clients. It may still be about the last one.
    virtual void close_door(deadline d) = 0;
    /// The server's handlers have ended, or the deadline has come: ends for good. False: handlers of its own had to be killed.
    virtual bool end() = 0;
};

class server_core {
public:
    server_core(server_address address, const server_options& options, int type);
    server_core(const server_core&) = delete;
    server_core& operator=(const server_core&) = delete;
    virtual ~server_core() = default;

    void start();
    bool stop(deadline d);
    void serve_forever();
    void set_pool(std::size_t places);
    void set_pool(group& handlers);
    [[nodiscard]] bool is_started() const noexcept { return phase_.load(std::memory_order_acquire) == phase::running; }
    [[nodiscard]] std::string address() const;
    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] int first_fd() const noexcept { return sockets_.empty() ? -1 : sockets_.front().get(); }
    [[nodiscard]] group& handlers() const noexcept { return *handlers_; }
    [[nodiscard]] const server_options& options() const noexcept { return options_; }
    /// Whether the socket is another's, whose O_NONBLOCK is not ours.
    [[nodiscard]] bool is_given() const noexcept { return given_fd_ >= 0; }

    // --- For workers ---

    /// Takes clients from the socket until the calling fiber is killed.
    void accept_clients(int fd) noexcept;
    /// What waits in the kernel's queue.
    void accept_rest(int fd, deadline d);
    /// In a worker process: takes clients until `control` says until when to stop. Whether no handler was killed.
    bool serve_here(std::size_t which, int control);

protected:
    enum class taken : std::uint8_t { client, nothing, retry, no_room, failed };
    /// Takes one client, without waiting, and spawns its handler. After `failed` errno says why.
    virtual taken take_one(int fd) = 0;
    virtual void prepare(int fd) { static_cast<void>(fd); }
    /// Handlers answer from the socket itself, so it stays open while they run.
    const bool keeps_socket_;

private:
    void open_sockets();
    void close_sockets() noexcept;
    void start_workers();
    bool end_handlers(deadline d);
    bool finish();
    void forget_parent() noexcept;

    const std::string text_;
    const int given_fd_;
    const server_options options_;
    const int type_;
    std::unique_ptr<group> own_handlers_;
    group* handlers_;
    enum class phase : std::uint8_t { idle, running, stopping };
    std::atomic<phase> phase_{phase::idle};
    std::atomic<int> error_{0};
    event stopped_; // or failed
    std::vector<socket_fd> sockets_;
    socket_address bound_;
    std::vector<std::unique_ptr<server_worker>> workers_;
    unsigned generation_;
    bool removes_path_ = false;
    std::uint64_t path_device_ = 0, path_inode_ = 0;
};

std::unique_ptr<server_worker> make_fiber_worker(server_core& server, int fd);
std::unique_ptr<server_worker> make_thread_worker(server_core& server, int fd);
std::unique_ptr<server_worker> make_process_worker(server_core& server, std::size_t which);

} // namespace weft::rt
