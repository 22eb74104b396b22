// SPDX-License-Identifier: Apache-2.0
#pragma once

// What processes share, without the types of what they put there. Made before a fork; all descriptors are close-on-exec.

#include <weft/deadline.hpp>
#include <weft/detail/spinlock.hpp>
#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weft::rt {

/// Zeroed memory that a fork shares instead of copying it.
class WEFT_API shared_block {
public:
    explicit shared_block(std::size_t size);
    shared_block(const shared_block&) = delete;
    shared_block& operator=(const shared_block&) = delete;
    ~shared_block();
    [[nodiscard]] void* data() const noexcept { return data_; }

private:
    void* data_;
    std::size_t size_;
};

/// A number of tokens that any process takes and returns: an eventfd.
class WEFT_API shared_tokens {
public:
    explicit shared_tokens(unsigned n);
    shared_tokens(const shared_tokens&) = delete;
    shared_tokens& operator=(const shared_tokens&) = delete;
    ~shared_tokens();
    /// Waits for a token. False: the deadline came first.
    bool take(deadline d);
    void put() noexcept;

private:
    int fd_;
};

/// Whole messages in both directions between whoever has the two ends: a pair of sockets. A message goes or comes as a whole or not at
/// all, whatever interrupts, or ends, a process; a big one travels as a file in memory.
class WEFT_API message_end {
public:
    explicit message_end(int fd) noexcept : fd_(fd) {}
    message_end(const message_end&) = delete;
    message_end& operator=(const message_end&) = delete;
    ~message_end() { close(); }
    /// Two descriptors, the ends of a new pair.
    static void make(int (&ends)[2]);

    /// 1, -EAGAIN (not now), -EPIPE (nobody has the other end), or another negative errno.
    long send_now(std::string_view message) noexcept;
    /// 1, 0 (nobody has the other end any more), -EAGAIN or another negative errno.
    long receive_now(std::string& message);
    /// False: the deadline came first. Throws std::system_error (EPIPE).
    bool send(std::string_view message, deadline d);
    /// Nothing: the deadline came first. Throws queue_shutdown when nobody has the other end any more.
    std::optional<std::string> receive(deadline d);
    /// Waits until there is a message, or will never be one. False: the deadline came first.
    bool wait(deadline d);
    void close() noexcept;
    [[nodiscard]] int fd() const noexcept { return fd_; }

private:
    int fd_;
};

/// A FIFO of messages for any number of processes, in a file in memory. A process may be killed at any moment; the queue stays whole.
class WEFT_API shared_queue {
public:
    /// At most so many messages; 0: any number.
    explicit shared_queue(std::size_t maxsize);
    shared_queue(const shared_queue&) = delete;
    shared_queue& operator=(const shared_queue&) = delete;
    ~shared_queue();

    /// False: it was full until the deadline. Throws queue_shutdown.
    bool put(std::string_view message, deadline d);
    /// Nothing: it was empty until the deadline. Throws queue_shutdown when it is shut down and empty.
    std::optional<std::string> get(deadline d);
    [[nodiscard]] std::size_t size();
    [[nodiscard]] std::size_t maxsize() const noexcept { return maxsize_; }
    void shutdown();

private:
    struct control;
    class hold;

    bool try_lock();
    void unlock() noexcept;
    void raise(int fd, bool& raised) noexcept;
    void clear(int fd, bool& raised) noexcept;
    void store(std::string_view message);
    std::string fetch();

    const std::size_t maxsize_;
    shared_block block_;
    control& shared_;
    unsigned generation_; // of forks
    spinlock lock_;       // among the kernel threads of this process
    int file_ = -1;
    int items_ = -1; // an eventfd that is readable while there is a message
    int space_ = -1; // and one while there is room
};

} // namespace weft::rt
