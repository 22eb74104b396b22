// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/export.hpp>

#include <any>
#include <cstddef>
#include <map>
#include <vector>

namespace weft {

/// Waits for many descriptors again and again, as Python's selectors do; a wait suspends the calling fiber only. What is registered stays so, and costs nothing
/// at each select: the kernel keeps it. Level-triggered: what is ready is told again until it has been used.
///
/// One fiber at a time may use it. A descriptor that is closed leaves it (if it had no duplicate); unregister it before. Errors and hang-ups are told as
/// readable and writable, as far as those are wanted. A regular file is always ready. In a child of fork it watches the same as in the parent.
///
/// Throws std::system_error: EBADF for what is no descriptor, EEXIST for one that is registered, ENOENT for one that is not, EINVAL for no event.
///
/// @code
/// weft::selector s;
/// s.register_(0, weft::selector::read, std::string("standard input"));
/// for (const weft::selector::key& k : s.select(1s)) {
///     if ((k.events & weft::selector::read) != 0) std::cout << std::any_cast<std::string>(k.data) << " is ready\n";
/// }
/// s.unregister(0);
/// @endcode
class WEFT_API selector {
public:
    static constexpr unsigned read = 1;  ///< a read, or accept, would not wait
    static constexpr unsigned write = 2; ///< a write would not wait, or a connect is done

    /// A descriptor, what is wanted of it (for select: what of that is there), and whatever the caller keeps with it.
    struct key {
        int fd = -1;
        unsigned events = 0;
        std::any data = {};
    };

    selector();
    selector(const selector&) = delete;
    selector& operator=(const selector&) = delete;
    ~selector();

    void register_(int fd, unsigned events, std::any data = {});
    /// Other events, other data.
    void modify(int fd, unsigned events, std::any data = {});
    /// Returns what was kept.
    key unregister(int fd);
    /// What is ready; waits until something is. Empty: the deadline came first, one in the past polls. With nothing registered it waits for the
    /// deadline. Throws as wait_readable does.
    std::vector<key> select(deadline d = {});
    /// nullptr if it is not registered; valid until that changes.
    [[nodiscard]] const key* get_key(int fd) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }
    /// Forgets all.
    void close() noexcept;

private:
    void control(int operation, int fd, unsigned events);
    void open();
    void heed_fork();
    bool collect(std::vector<key>& found);

    std::map<int, key> keys_;
    std::vector<int> always_; // regular files
    int set_ = -1;
    unsigned generation_ = 0;
};

} // namespace weft
