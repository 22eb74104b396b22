// SPDX-License-Identifier: Apache-2.0
// Every call of fibers, locks, conditions, counters, events, queues and coroutines that waits; and for each a deadlock is reported.
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/queue.hpp>
#include <weft/sync.hpp>
#include <weft/timeout.hpp>

#include "support/child_process.hpp"
#include "support/waiting_calls.hpp"

#include <catch2/catch.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace test_support;
using weft::this_fiber::yield;

namespace {

/// Something held, or done, by a fiber until `go`.
struct held_by_a_fiber {
    weft::event go;
    weft::recursive_mutex recursive;
    weft::once_flag once;
    weft::fiber<int> f = weft::spawn([this] {
        const std::lock_guard hold(recursive);
        weft::call_once(once, [this] { go.wait(); });
        return 7;
    });
    held_by_a_fiber() { yield(); }
    held_by_a_fiber(const held_by_a_fiber&) = delete;
    held_by_a_fiber& operator=(const held_by_a_fiber&) = delete;
    ~held_by_a_fiber() {
        go.set();
        f.join();
    }
};
struct condition {
    weft::mutex m;
    weft::condition_variable changed;
    bool ready = false;
    void set() {
        const std::lock_guard hold(m);
        ready = true;
        changed.notify_all();
    }
};
struct coroutines {
    weft::event go;
    weft::coroutine<void, int> co{[this](auto&) { return go.wait() ? 1 : 0; }};
    weft::generator<int> numbers{[this](auto& give) {
        go.wait();
        give(1);
    }};
};

using weft::queue_empty;
using weft::queue_full;
using weft::timeout_error;

std::vector<call_kind> locks() {
    const auto lock = [](auto& l) { l.lock(); };
    const auto unlock = [](auto& l) { l.unlock(); };
    const auto go = [](auto& o) { o.go.set(); };
    return {
        after<weft::mutex>(lock, "mutex.lock", takes::none, [](auto& m, deadline) { return m.lock(), false; }, unlock),
        after<weft::mutex>(lock, "mutex.try_lock_until", takes::a_deadline, [](auto& m, deadline d) { return !m.try_lock_until(d.time()); }, unlock),
        on<held_by_a_fiber>("recursive_mutex.try_lock_until", takes::a_deadline,
                            [](auto& h, deadline d) { return !h.recursive.try_lock_until(d.time()); }, go),
        after<weft::shared_mutex>(lock, "shared_mutex.try_lock_until", takes::a_deadline, [](auto& m, deadline d) { return !m.try_lock_until(d.time()); }, unlock),
        after<weft::shared_mutex>(lock, "shared_mutex.lock_shared", takes::none, [](auto& m, deadline) { return m.lock_shared(), false; }, unlock),
        after<weft::shared_mutex>(lock, "shared_mutex.try_lock_shared_until", takes::a_deadline,
                                  [](auto& m, deadline d) { return !m.try_lock_shared_until(d.time()); }, unlock),
        on<condition>("condition_variable.wait", takes::a_deadline,
                      [](auto& c, deadline d) {
                          std::unique_lock hold(c.m);
                          return !c.changed.wait(hold, d, [&] { return c.ready; });
                      },
                      [](auto& c) { c.set(); }),
        on<held_by_a_fiber>("call_once", takes::none, [](auto& h, deadline) { return weft::call_once(h.once, [] {}), false; }, go),
    };
}

std::vector<call_kind> counters_and_events() {
    return {
        on<weft::semaphore>("semaphore.acquire", takes::a_deadline, [](auto& s, deadline d) { return !s.acquire(d); }, [](auto& s) { s.release(); }, 0),
        after<weft::bounded_semaphore>([](auto& s) { s.acquire(); }, "bounded_semaphore.acquire", takes::a_deadline,
                                       [](auto& s, deadline d) { return !s.acquire(d); }, [](auto& s) { s.release(); }, 1),
        on<weft::barrier>("barrier.wait", takes::a_deadline, [](auto& b, deadline d) { return !b.wait(d); }, [](auto& b) { b.wait(); }, 2),
        on<weft::latch>("latch.wait", takes::a_deadline, [](auto& l, deadline d) { return !l.wait(d); }, [](auto& l) { l.count_down(); }, 1),
        on<weft::event>("event.wait", takes::a_deadline, [](auto& e, deadline d) { return !e.wait(d); }, [](auto& e) { e.set(); }),
        on<weft::async_result<int>>("async_result.get", takes::a_deadline, [](auto& r, deadline d) { return throws<timeout_error>([&] { r.get(d); }); },
                                    [](auto& r) { r.set(1); }),
        on<weft::async_result<>>("async_result.wait", takes::a_deadline, [](auto& r, deadline d) { return !r.wait(d); }, [](auto& r) { r.set(); }),
    };
}

template <class Queue>
void add_queue(std::vector<call_kind>& all, bool bounded) {
    const auto put = [](auto& q) { q.put(1); };
    const auto get = [](auto& q) { (void)q.get(); };
    all.push_back(on<Queue>("get", takes::a_deadline, [](auto& q, deadline d) { return throws<queue_empty>([&] { (void)q.get(d); }); }, put));
    all.push_back(on<Queue>("select", takes::a_deadline,
                            [](auto& q, deadline d) { return weft::select(weft::on_get(q, [](int) {}), weft::on_timeout(d)) == 1; }, put));
    if (!bounded) { // a channel
        all.push_back(on<Queue>("put", takes::a_deadline, [](auto& q, deadline d) { return throws<queue_full>([&] { q.put(2, d); }); }, get));
        return;
    }
    all.push_back(on<Queue>("peek", takes::a_deadline, [](auto& q, deadline d) { return throws<queue_empty>([&] { (void)q.peek(d); }); }, put));
    if constexpr (std::is_constructible_v<Queue, int>) {
        all.push_back(after<Queue>(put, "put", takes::a_deadline, [](auto& q, deadline d) { return throws<queue_full>([&] { q.put(2, d); }); }, get, 1));
        all.push_back(after<Queue>(put, "select to put", takes::a_deadline,
                                   [](auto& q, deadline d) { return weft::select(weft::on_put(q, 2), weft::on_timeout(d)) == 1; }, get, 1));
        all.push_back(after<Queue>(put, "join", takes::a_deadline, [](auto& q, deadline d) { return !q.join(d); }, [](auto& q) { q.task_done(); }));
    }
}
std::vector<call_kind> queues() {
    std::vector<call_kind> all;
    add_queue<weft::queue<int>>(all, true);
    add_queue<weft::lifo_queue<int>>(all, true);
    add_queue<weft::priority_queue<int>>(all, true);
    add_queue<weft::channel<int>>(all, false);
    return all;
}

std::vector<call_kind> fibers() {
    const auto go = [](auto& o) { o.go.set(); };
    std::vector<call_kind> all{
        on<held_by_a_fiber>("fiber.join", takes::a_deadline, [](auto& h, deadline d) { return !h.f.join(d); }, go),
        on<held_by_a_fiber>("fiber.get", takes::a_deadline, [](auto& h, deadline d) { return throws<timeout_error>([&] { h.f.get(d); }); }, go),
        on<held_by_a_fiber>("joinall", takes::a_deadline, [](auto& h, deadline d) { return weft::joinall({h.f}, d).empty(); }, go),
        on<held_by_a_fiber>("wait", takes::a_deadline, [](auto& h, deadline d) { return weft::wait({h.f, h.go}, d).size() < 2; }, go),
        on<held_by_a_fiber>("iwait", takes::a_deadline,
                            [](auto& h, deadline d) {
                                std::size_t ready = 0;
                                for (const auto& w : weft::iwait({h.go, h.f}, d)) ready += w == h.f ? 1 : 1;
                                return ready < 2;
                            }, go),
        on<held_by_a_fiber>("gather", takes::none, [](auto& h, deadline) { return std::get<0>(weft::gather(h.f)) != 7; }, go),
        on<coroutines>("generator.next", takes::none, [](auto& c, deadline d) { return c.numbers.next(d) != 1; }, go),
    };
    all.back().once = true;
    return all;
}

void check_deadlocks(const std::vector<call_kind>& kinds) {
    const auto r = test_support::run_in_child([&] {
        for (const call_kind& kind : kinds) {
            const waiting_call c = kind.make();
            std::string told;
            try {
                (void)c.gives_up({});
            } catch (const weft::deadlock_error& e) {
                told = e.what();
            }
            if (told.find("(main) waits for") == std::string::npos) std::fprintf(stderr, "%s: no deadlock reported\n", kind.name);
            test_support::must(told.find("(main) waits for") != std::string::npos);
            c.wake(); // and all is as it was
        }
    }, 30s);
    INFO(r.err);
    CHECK(r.exit_code() == 0);
}

} // namespace

TEST_CASE("waits_of_locks") { check(locks()); }
TEST_CASE("waits_of_counters_and_events") { check(counters_and_events()); }
TEST_CASE("waits_of_queues") { check(queues()); }
TEST_CASE("waits_of_fibers") { check(fibers()); }
TEST_CASE("waits_of_locks_that_nobody_ends") { check_deadlocks(locks()); }
TEST_CASE("waits_of_fibers_that_nobody_ends") { check_deadlocks(fibers()); }
TEST_CASE("waits_of_counters_and_events_that_nobody_ends") {
    auto all = counters_and_events();
    std::erase_if(all, [](const call_kind& k) { return std::string(k.name) == "barrier.wait"; }); // its wake waits itself
    check_deadlocks(all);
}
TEST_CASE("waits_of_queues_that_nobody_ends") {
    auto all = queues();
    all.resize(all.size() - 3); // a channel's wake waits itself
    check_deadlocks(all);
}
