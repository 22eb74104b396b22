// SPDX-License-Identifier: Apache-2.0
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/queue.hpp>
#include <weft/sync.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <functional>
#include <list>
#include <memory>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

TEST_CASE("waitable_objects_in_an_array") {
    std::array<weft::event, 2> events;
    CHECK(weft::wait(events, 0ms).empty());
    events[1].set();
    const auto first = weft::wait(events, 5s, 1);
    REQUIRE(first.size() == 1);
    CHECK(first[0] == events[1]);
    auto f = weft::spawn([&] { events[0].set(); });
    std::vector<weft::waitable> order;
    for (auto& ready : weft::iwait(events, 5s)) order.push_back(ready);
    REQUIRE(order.size() == 2);
    CHECK(order[0] == events[1]);
    CHECK(order[1] == events[0]);
    std::list<weft::queue<int>> queues(3);
    queues.front().put(1);
    CHECK(weft::wait(queues, 5s, 1).size() == 1);
}

TEST_CASE("waitable_pointers_and_references") {
    weft::event a;
    weft::semaphore s(0);
    const auto owned = std::make_shared<weft::event>();
    owned->set();
    const auto pointers = weft::wait(std::vector<std::shared_ptr<weft::event>>{owned, std::make_shared<weft::event>()}, 1ms);
    REQUIRE(pointers.size() == 1);
    CHECK(pointers[0] == owned);
    CHECK(weft::wait(std::vector<weft::event*>{&a, owned.get()}, 1ms) == std::vector<weft::event*>{owned.get()});
    CHECK(weft::wait(std::vector<std::reference_wrapper<weft::event>>{a, *owned}, 1ms).size() == 1);
    const std::vector<std::unique_ptr<weft::event>> unique = [] {
        std::vector<std::unique_ptr<weft::event>> v;
        v.push_back(std::make_unique<weft::event>());
        v.back()->set();
        return v;
    }();
    CHECK(weft::wait(unique, 1ms).size() == 1);
}

TEST_CASE("waitable_of_every_kind_in_order_of_completion") {
    weft::event e;
    weft::async_result<int> r;
    weft::semaphore s(0);
    weft::queue<int> q;
    auto f = weft::spawn([] { weft::this_fiber::sleep_for(1ms); });
    auto script = weft::spawn([&] {
        q.put(1);
        yield();
        s.release();
        yield();
        r.set(1);
        yield();
        e.set();
        f.join();
    });
    const auto ready = weft::wait({f, e, r, s, q}, 10s);
    CHECK(ready == std::vector<weft::waitable>{q, s, r, e, f});
    CHECK(q.get_nowait() == 1); // nothing was taken
    CHECK(s.try_acquire());
    script.join();
}

namespace {
class job {
public:
    void finish() const { state_->done.set(); }
    operator weft::waitable() const { return {state_->done, state_}; }

private:
    struct state {
        weft::event done;
    };
    std::shared_ptr<state> state_ = std::make_shared<state>();
};
} // namespace

TEST_CASE("waitable_of_your_own") {
    std::vector<job> jobs(3);
    weft::spawn([last = jobs.back()] { last.finish(); });
    const auto ready = weft::wait(jobs, 5s, 1);
    REQUIRE(ready.size() == 1);
    CHECK(static_cast<weft::waitable>(ready[0]) == jobs[2]);
    const weft::waitable kept = job();
    CHECK(weft::wait({kept}, 0ms).empty());
}

TEST_CASE("waitable_event_may_go_once_it_is_set") {
    for (int round = 0; round < 200; ++round) {
        auto e = std::make_unique<weft::event>();
        weft::event& there = *e;
        weft::event waiting;
        std::thread t([&] {
            auto one = weft::spawn([&] { there.wait(); });
            auto several = weft::spawn([&] { weft::wait({there}); });
            auto ready = weft::spawn([&] { waiting.set(); });
            weft::joinall({one, several, ready});
        });
        waiting.wait();
        e->set();
        e.reset(); // those that wait have not run yet
        t.join();
    }
}

TEST_CASE("waitable_event_may_go_once_it_was_waited_for") {
    for (int round = 0; round < 200; ++round) {
        weft::event started;
        weft::async_result<weft::event*> where;
        std::thread t([&] { where.get()->set(); });
        {
            weft::event e;
            where.set(&e);
            e.wait();
        }
        t.join();
    }
}
