// SPDX-License-Identifier: Apache-2.0
#pragma once

// Worker processes, without the types of what they call.

#include <weft/deadline.hpp>
#include <weft/export.hpp>
#include <weft/pool.hpp>
#include <weft/queue.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// A job of another process failed: the process died, or threw what cannot be brought over.
class WEFT_API process_error : public std::runtime_error {
public:
    explicit process_error(const std::string& what, std::optional<int> exitcode = {}) : std::runtime_error(what), exitcode_(exitcode) {}
    /// How the process ended, as process::exitcode; nothing if it did not.
    [[nodiscard]] std::optional<int> exitcode() const noexcept { return exitcode_; }

private:
    std::optional<int> exitcode_;
};

namespace rt {

/// That run at once: at least 1.
WEFT_API std::size_t processors() noexcept;

class WEFT_API worker_set {
public:
    explicit worker_set(std::size_t n);
    worker_set(const worker_set&) = delete;
    worker_set& operator=(const worker_set&) = delete;
    /// Waits for those that were terminated.
    ~worker_set();

    /// Has a free worker answer the request; waits for one. Throws what the worker threw; process_error if it died. A caller that is
    /// interrupted leaves at once; the worker is free again when it is done.
    std::string call(std::string_view request);
    /// Throws std::logic_error if it is closed or terminated.
    void check_open() const;
    void close();
    void terminate();
    bool join(deadline d);
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    struct worker;
    void start(worker& w);
    std::string reply_of(worker& w);
    void leave_to_others(worker& w);
    [[noreturn]] void died(worker& w);

    const std::size_t size_;
    std::atomic<bool> closed_{false};
    std::atomic<bool> terminated_{false};
    std::vector<std::unique_ptr<worker>> all_;
    queue<worker*> free_;
    group leftovers_; // fibers that wait for answers nobody wants any more; goes first
};

/// An exception on its way between processes: as it is if it is of a known type, else what it says.
std::string pack_exception(const std::exception_ptr& e);
[[noreturn]] void throw_packed(std::string_view bytes);

} // namespace rt

} // namespace weft
