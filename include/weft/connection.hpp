// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

struct sockaddr;

namespace weft {

/// Where a socket is: an address of IPv4, IPv6 or of the file system (Unix).
class WEFT_API socket_address {
public:
    /// None.
    socket_address() noexcept = default;
    /// A copy of what the kernel says. Cut to what a sockaddr_storage holds.
    socket_address(const sockaddr* from, unsigned size) noexcept;

    /// "127.0.0.1:80", "[::1]:80", "unix:/path" ("unix:@name": abstract; "unix:": a socket without a name); empty for none. An IPv4
    /// address that IPv6 carries is shown as what it is.
    [[nodiscard]] std::string to_string() const;
    /// The part before the port, without brackets; the path of a Unix socket.
    [[nodiscard]] std::string host() const;
    /// 0 for none, and for Unix sockets.
    [[nodiscard]] std::uint16_t port() const noexcept;
    /// AF_INET, AF_INET6, AF_UNIX; 0 (AF_UNSPEC) for none.
    [[nodiscard]] int family() const noexcept;

    /// As system calls take it.
    [[nodiscard]] const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(bytes_); }
    [[nodiscard]] unsigned size() const noexcept { return size_; }

    friend WEFT_API bool operator==(const socket_address& a, const socket_address& b) noexcept;

private:
    alignas(8) unsigned char bytes_[128] = {};
    unsigned size_ = 0;
};

/// A connected stream socket that is closed with its owner. Its calls suspend the calling fiber only, with weft::weft alone as well; the
/// descriptor is an ordinary blocking one, so that in a program that links weft::shim plain recv and send do the same.
///
/// Calls that wait throw as all of weft's: std::system_error with the errno (EPIPE, ECONNRESET, …), timeout_error past the deadline,
/// fiber_exit in a killed fiber. Of read, read_some and read_line nothing is lost then: they can be called again. What read_exactly and read_all had
/// read, and how much write had written, nobody knows any more: the connection should be closed.
/// One fiber may read while another writes. `close` ends what others wait for with EBADF.
///
/// @code
/// weft::connection c = weft::connection::open("127.0.0.1:8000", 1s);
/// c.write("GET / HTTP/1.0\r\n\r\n");
/// while (std::optional<std::string> line = c.read_line()) std::cout << *line << '\n';
/// @endcode
class WEFT_API connection {
public:
    /// None.
    connection() noexcept = default;
    /// Takes over a connected stream socket.
    explicit connection(int fd, socket_address peer = {}) noexcept;
    connection(connection&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), taken_(std::exchange(other.taken_, 0)), ahead_(std::move(other.ahead_)), peer_(other.peer_) {}
    connection& operator=(connection&& other) noexcept;
    ~connection() { close(); }

    /// Connects to "host:port", "[v6]:port" or "unix:/path". A name is looked up on a kernel thread, by the same deadline; its addresses are tried in
    /// turn. Throws std::invalid_argument for a text that is no address, std::runtime_error for a name that is not found.
    static connection open(std::string_view address, deadline d = {});

    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// The descriptor, -1 for none. Bytes that read_line has read ahead do not come from it again.
    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// Who is at the other end.
    [[nodiscard]] const socket_address& peer() const noexcept { return peer_; }

    /// Waits until there is something, and takes at most `size` bytes of it. 0: the end of the stream (or a size of 0).
    std::size_t read(void* buffer, std::size_t size, deadline d = {});
    /// The same into a string; empty: the end.
    std::string read_some(std::size_t most = 64 * 1024, deadline d = {});
    /// Reads until `size` bytes are there; fewer only at the end of the stream.
    std::size_t read_exactly(void* buffer, std::size_t size, deadline d = {});
    /// The next line without its "\n" or "\r\n"; what stands before the end of the stream counts as one. nullopt: the end. Throws
    /// std::length_error if there is no end of line within `longest` bytes.
    std::optional<std::string> read_line(std::size_t longest = 64 * 1024, deadline d = {});
    /// Reads to the end of the stream.
    std::string read_all(deadline d = {});

    /// Writes all of it.
    void write(const void* data, std::size_t size, deadline d = {});
    void write(std::string_view text, deadline d = {}) { write(text.data(), text.size(), d); }

    /// Says that nothing more will be written: the peer reads the end of the stream. Never throws.
    void shutdown_write() noexcept;
    void close() noexcept;
    /// Lets go of the descriptor; the caller closes it.
    int release() noexcept;

private:
    std::size_t receive(void* buffer, std::size_t size, deadline d);

    int fd_ = -1;
    std::size_t taken_ = 0; // of ahead_
    std::string ahead_;     // read by read_line
    socket_address peer_;
};

} // namespace weft
