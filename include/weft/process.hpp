// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/child.hpp>
#include <weft/detail/process_core.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <sys/types.h>

/// Functions in processes of their own, and what they share: `process`, `pipe`, `process_queue`, `shared_value`, `shared_array`,
/// `process_mutex`, and `process_pool`.
///
/// A process is a fork: it has a copy of all that there is, a hub of its own, on which one fiber runs the function while the main fiber waits for
/// that, and none of the other fibers and threads. What is to be shared must exist before. Values that are sent are trivially copyable, or
/// strings, or vectors, pairs and tuples of such. All that waits suspends the calling fiber only, takes a deadline, and is interrupted by kill
/// and timeout scopes. Nothing of it stays open in a program that is executed.
///
/// @code
/// auto [here, there] = weft::pipe<std::string>();
/// weft::shared_value<int> sum(0);
/// auto worker = weft::process::spawn([&] {
///     there.send("hello " + there.recv());
///     sum.update([](int n) { return n + 1; });
/// });
/// here.send("world");
/// std::cout << here.recv(); // hello world
/// worker.join(5s);
/// if (worker.exitcode() != 0) std::cout << "it failed\n";
///
/// weft::process_pool pool(4);
/// std::vector<long> squares = pool.map([](int n) { return long{n} * n; }, std::vector{1, 2, 3});
/// weft::async_result<int> later = pool.apply_async([](int a, int b) { return a * b; }, 6, 7);
/// int answer = later.get(5s);
/// (void)answer, (void)squares;
/// @endcode
namespace weft {

/// How to make a process. Members stay in this order.
struct process_options {
    std::string_view name = {};              ///< empty: "process-<pid>"
    bool daemon = false;                     ///< ends with this process: see process::daemon
    std::size_t stack_size = 8 * 1024 * 1024; ///< of its main fiber, in bytes
};

/// A function that runs in a process of its own.
///
/// The process ends when the function returns: with 0, or what it returns if that is an int; with 1, and a line on stderr, after an
/// exception. Neither static destructors nor atexit handlers of this process run there; stdout and stderr are flushed. Timeout scopes of the
/// caller are not in force there. As a thread's, this object neither copies nor moves; when it goes, the process goes on. When
/// this process exits it ends those that are daemons by SIGTERM and waits for all others.
class WEFT_API process {
public:
    /// Throws std::system_error (EAGAIN, ENOMEM) if there can be no more processes.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    static process spawn(F&& fn, Args&&... args) {
        return process(process_options{}, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    static process spawn(process_options options, F&& fn, Args&&... args) {
        return process(options, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    /// The same, as a constructor: for containers.
    template <class F, class... Args>
        requires(std::invocable<std::decay_t<F>, std::decay_t<Args>...> && !std::same_as<std::decay_t<F>, process>)
    explicit process(F&& fn, Args&&... args) : process(process_options{}, std::forward<F>(fn), std::forward<Args>(args)...) {}
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    explicit process(process_options options, F&& fn, Args&&... args)
        : record_(start(options, [&]() -> int { return rt::exit_status_of(std::forward<F>(fn), std::forward<Args>(args)...); })) {}
    process(const process&) = delete;
    process& operator=(const process&) = delete;

    /// Waits for its end. False: it still runs at the deadline.
    bool join(deadline d = {}) const { return record_->child->wait(d); }
    bool terminate() const; ///< SIGTERM; false: it has ended
    bool kill() const;      ///< SIGKILL; false: it has ended
    [[nodiscard]] pid_t pid() const noexcept { return record_->child->pid(); }
    [[nodiscard]] const std::string& name() const noexcept { return record_->name; }
    /// Its exit status, or the negative number of the signal that ended it; nothing while it runs.
    [[nodiscard]] std::optional<int> exitcode() const { return record_->child->poll(); }
    [[nodiscard]] bool alive() const { return !record_->child->ended(); }
    /// Whether it is ended, rather than waited for, when this process exits.
    [[nodiscard]] bool daemon() const noexcept { return record_->daemon.load(std::memory_order_relaxed); }
    void set_daemon(bool on) const noexcept { record_->daemon.store(on, std::memory_order_relaxed); }
    /// Ready when it has ended.
    operator waitable() const { return rt::child::as_waitable(record_->child); }

private:
    template <class Run>
    static std::shared_ptr<rt::process_record> start(const process_options& options, Run&& run) {
        return rt::fork_process(options.name, options.daemon, options.stack_size, [](void* r) { return (*static_cast<std::remove_reference_t<Run>*>(r))(); }, &run);
    }
    std::shared_ptr<rt::process_record> record_;
};

} // namespace weft

#include <weft/detail/process_pool.hpp>  // process_pool, process_error
#include <weft/detail/process_share.hpp> // pipe, process_queue, process_mutex, process_semaphore, shared_value, shared_array
