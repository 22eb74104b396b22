// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/detail/condition.hpp>
#include <weft/detail/counters.hpp>
#include <weft/detail/locks.hpp>

#include <mutex>        // std's guards
#include <shared_mutex> // std::shared_lock

/// Locks, conditions and counters, as std has them, for fibers: `mutex`, `recursive_mutex`, `shared_mutex`; `condition_variable`;
/// `semaphore`, `bounded_semaphore`, `barrier`, `latch`, `once_flag` and `call_once`.
///
/// Whoever waits suspends only its fiber; a kernel thread without a hub blocks for real. Each object works between the fibers of
/// all hubs and any kernel threads. What is given up is handed to the one that has waited longest: nobody overtakes. A call that
/// waits throws `fiber_exit` in a killed fiber, `timeout_error` when a `timeout` scope has expired, `deadlock_error` in the main
/// fiber when nothing is left that could end the wait; then it has taken nothing. Calls that release never wait and never throw.
/// None of the objects is copied or moved, and none may be destroyed while somebody waits for it.
///
/// @code
/// #include <weft/fiber.hpp>
/// weft::mutex guard;
/// weft::condition_variable changed;
/// bool ready = false;
/// {
///     std::scoped_lock hold(guard);
///     ready = true;
///     changed.notify_all();
/// }
/// std::unique_lock hold(guard);
/// bool in_time = changed.wait(hold, 200ms, [&] { return ready; });
/// weft::semaphore places(2);
/// if (places.acquire(1s)) places.release();
/// weft::latch ready_to_go(1);
/// auto f = weft::spawn([&] { ready_to_go.count_down(); });
/// ready_to_go.wait();
/// f.join();
/// (void)in_time;
/// @endcode
namespace weft {}
