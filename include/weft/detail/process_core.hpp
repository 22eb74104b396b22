// SPDX-License-Identifier: Apache-2.0
#pragma once

// A forked process, without the type of what it runs.

#include <weft/detail/child.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/export.hpp>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::rt {

/// A process of this one's, in the list of those that its exit must see to.
struct process_record {
    std::shared_ptr<rt::child> child;
    std::string name;
    std::atomic<bool> daemon{false};
    std::atomic<int> end_signal{SIGTERM}; // what a daemon is ended by
};

/// Forks; the child calls `run(what)` in a fiber with a stack of that size and ends with what it returns.
WEFT_API std::shared_ptr<process_record> fork_process(std::string_view name, bool daemon, std::size_t stack_size, int (*run)(void*), void* what);

/// Calls fn: 0, or the int that it returns.
template <class F, class... Args>
int exit_status_of(F&& fn, Args&&... args) {
    using R = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
    auto call = [&]() -> decltype(auto) { return rt::invoke(std::decay_t<F>(std::forward<F>(fn)), std::decay_t<Args>(std::forward<Args>(args))...); };
    if constexpr (std::is_same_v<R, int>) return call();
    else return static_cast<void>(call()), 0;
}

} // namespace weft::rt
