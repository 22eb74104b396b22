// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace weft {

class timeout;

/// Thrown inside a fiber that is killed; ends it quietly. It derives from nothing, so that a
/// `catch (const std::exception&)` around ordinary work does not swallow it; a `catch (...)` should rethrow it.
class WEFT_API fiber_exit {};

/// A wait ran past its deadline: from `fiber::get`, `async_result::get`, `with_timeout` or a `timeout` scope.
class WEFT_API timeout_error : public std::runtime_error {
public:
    explicit timeout_error(const std::string& what = "timed out", std::uint64_t scope = 0)
        : std::runtime_error(what), scope_(scope) {}
    /// Whether it was this scope that expired; use it where scopes nest.
    [[nodiscard]] bool is(const timeout& scope) const noexcept;

private:
    std::uint64_t scope_; // 0: no scope, the deadline of a call
};

/// From `get()` of a fiber that was killed.
class WEFT_API fiber_killed : public std::runtime_error {
public:
    explicit fiber_killed(const std::string& what = "fiber was killed") : std::runtime_error(what) {}
};

/// In the main fiber of a linked program: nothing is left that could wake anyone. `what()` names each waiter and what
/// it waits for.
class WEFT_API deadlock_error : public std::logic_error {
public:
    explicit deadlock_error(const std::string& what) : std::logic_error(what) {}
};

/// A queue had nothing to give within the deadline.
class WEFT_API queue_empty : public std::runtime_error {
public:
    explicit queue_empty(const std::string& what = "queue is empty") : std::runtime_error(what) {}
};

/// A queue had no room within the deadline.
class WEFT_API queue_full : public std::runtime_error {
public:
    explicit queue_full(const std::string& what = "queue is full") : std::runtime_error(what) {}
};

/// The queue was shut down.
class WEFT_API queue_shutdown : public std::runtime_error {
public:
    explicit queue_shutdown(const std::string& what = "queue is shut down") : std::runtime_error(what) {}
};

} // namespace weft

/// A system call that fails is a `std::system_error` with its errno in `std::generic_category()`.
///
/// @code
/// try {
///     throw weft::timeout_error("no answer");
/// } catch (const std::runtime_error& e) {
///     (void)e.what();
/// }
/// @endcode
