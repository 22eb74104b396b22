// SPDX-License-Identifier: Apache-2.0
// Random operations on locks, conditions, counters, queues of every kind and selects, by fibers of several hubs and by plain threads,
// which are spawned, killed and timed out at random. Checked against a model: nothing is lost, nothing comes twice, who is interrupted has
// taken nothing, locks exclude, and at the end nobody is forgotten. WEFT_STRESS_SEED repeats a run as far as the kernel's scheduling
// allows, WEFT_STRESS_SECONDS sets its length.
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/local.hpp>
#include <weft/queue.hpp>
#include <weft/sync.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr int most_live = 300;
constexpr int permits = 3;

std::atomic<bool> stop{false};
std::atomic<long> failures{0};
std::atomic<long> operations{0};
std::atomic<int> live{0};

void fail(const char* what) {
    if (failures++ < 20) std::fprintf(stderr, "sync_stress: %s\n", what);
}

// --- Items: each is put at most once, and what was put is got exactly once ---

std::atomic<long> items_put{0};
std::atomic<long> items_got{0};
std::atomic<long> items_alive{0};

struct item {
    std::atomic<int> times_got{0};
    item() { ++items_alive; }
    item(const item&) = delete;
    item& operator=(const item&) = delete;
    ~item() { --items_alive; }
};
using item_ptr = std::unique_ptr<item>;
struct by_address {
    bool operator()(const item_ptr& a, const item_ptr& b) const { return a.get() < b.get(); }
};

void got(item_ptr p) {
    if (p == nullptr) return fail("a get gave nothing");
    if (p->times_got++ != 0) fail("an item came twice");
    ++items_got;
}

/// A put in progress: however it ends, the value is gone if, and only if, it was put.
struct offered {
    item_ptr p = std::make_unique<item>();
    bool was_put = false;
    void put() {
        was_put = true;
        ++items_put;
    }
    ~offered() {
        if (was_put != (p == nullptr)) fail("a put that failed took its value, or one that did not left it");
    }
};

// --- Everything that is shared ---

struct inside { // counts who is between lock and unlock
    std::atomic<int>& n;
    explicit inside(std::atomic<int>& count, int most, const char* what) : n(count) {
        if (++n > most) fail(what);
    }
    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;
    ~inside() { --n; }
};

struct world {
    weft::queue<item_ptr> queue{5};
    weft::queue<item_ptr> wide;
    weft::lifo_queue<item_ptr> lifo{3};
    weft::priority_queue<item_ptr, by_address> heap{4};
    weft::channel<item_ptr> channel;
    weft::channel<item_ptr> other_channel;
    weft::queue<int> numbers{4};

    weft::mutex mutex;
    weft::recursive_mutex recursive;
    weft::shared_mutex shared;
    weft::semaphore semaphore{permits};
    weft::bounded_semaphore bounded{permits};
    std::atomic<int> in_mutex{0}, in_recursive{0}, writers{0}, readers{0}, in_semaphore{0}, in_bounded{0};

    weft::mutex pot_lock;
    weft::condition_variable pot_changed;
    long pot = 0; // under pot_lock
    long pot_filled = 0, pot_taken = 0;

    weft::barrier barrier{2};
    std::atomic<long> met{0};
    weft::event event;
    std::mutex results_lock; // never held over a switch
    std::array<weft::async_result<item_ptr>, 8> results;

    std::mutex fibers_lock;
    std::array<weft::any_fiber, 100> fibers;

    void close() {
        queue.shutdown();
        wide.shutdown();
        lifo.shutdown();
        heap.shutdown();
        channel.shutdown();
        other_channel.shutdown();
        numbers.shutdown();
        const std::lock_guard hold(pot_lock);
        pot_changed.notify_all();
    }
};

// --- Who acts ---

class actor {
public:
    actor(world& w, std::uint64_t seed, bool has_hub) : w_(w), random_(seed), has_hub_(has_hub) {}

    void run(std::uint64_t steps) {
        for (; steps > 0 && !stop; --steps) {
            try {
                if (below(4) == 0) timed();
                else step();
            } catch (const weft::queue_shutdown&) {
                if (!stop) fail("shut down before the end");
                return;
            }
        }
    }
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    std::chrono::nanoseconds some_time() { return std::chrono::microseconds(below(4) == 0 ? 0 : below(400)); }
    weft::deadline maybe_never() { return below(3) == 0 ? weft::deadline() : weft::deadline(some_time()); }

private:
    void timed() {
        weft::timeout limit(some_time());
        try {
            step();
        } catch (const weft::timeout_error& e) {
            if (!e.is(limit)) throw;
        }
    }

    void step() {
        ++operations;
        switch (below(has_hub_ ? 20 : 15)) {
        case 0: put(w_.queue); break;
        case 1: get(w_.queue); break;
        case 2: below(2) == 0 ? put(w_.wide) : get(w_.wide); break;
        case 3: below(2) == 0 ? put(w_.lifo) : get(w_.lifo); break;
        case 4: below(2) == 0 ? put(w_.heap) : get(w_.heap); break;
        case 5: below(2) == 0 ? put(w_.channel) : get(w_.channel); break;
        case 6:
        case 7: select(); break;
        case 8: exclusive(w_.mutex, w_.in_mutex, "two in a mutex"); break;
        case 9: below(3) == 0 ? write() : read(); break;
        case 10: acquire(w_.semaphore, w_.in_semaphore); break;
        case 11: acquire(w_.bounded, w_.in_bounded); break;
        case 12: condition(); break;
        case 13: number(); break;
        case 14: meet(); break;
        case 15: recursive(); break;
        case 16: wait_for_several(); break;
        case 17: result(); break;
        case 18: kill_one(); break;
        default: live < most_live && !stop ? spawn_one() : weft::this_fiber::yield();
        }
    }

    template <class Queue>
    void put(Queue& q) {
        offered o;
        try {
            if (below(4) == 0) {
                if (!q.try_put(std::move(o.p))) return;
            } else {
                q.put(std::move(o.p), maybe_never());
            }
            o.put();
        } catch (const weft::queue_full&) {
        }
    }
    template <class Queue>
    void get(Queue& q) {
        try {
            if (below(4) != 0) return got(q.get(maybe_never()));
            if (auto p = q.try_get()) got(std::move(*p));
        } catch (const weft::queue_empty&) {
        }
    }

    void select() {
        offered a;
        offered b;
        const auto take = [](item_ptr p) { got(std::move(p)); };
        switch (below(4)) {
        case 0:
            weft::select(weft::on_get(w_.queue, take), weft::on_get(w_.channel, take), weft::on_get(w_.heap, take), weft::on_timeout(maybe_never()));
            break;
        case 1:
            weft::select(weft::on_put(w_.queue, std::move(a.p), [&] { a.put(); }), weft::on_put(w_.channel, std::move(b.p), [&] { b.put(); }),
                         weft::on_timeout(some_time()));
            break;
        case 2:
            weft::select(weft::on_put(w_.channel, std::move(a.p), [&] { a.put(); }), weft::on_get(w_.other_channel, take),
                         weft::on_timeout(some_time()));
            break;
        default:
            weft::select(weft::on_put(w_.other_channel, std::move(a.p), [&] { a.put(); }), weft::on_get(w_.channel, take),
                         weft::on_get(w_.lifo, take), weft::on_put(w_.heap, std::move(b.p), [&] { b.put(); }), weft::on_timeout(maybe_never()));
        }
    }

    void linger() {
        if (below(8) == 0) weft::this_fiber::yield();
        if (below(64) == 0) weft::this_fiber::sleep_for(some_time());
    }

    template <class Lock>
    bool lock_somehow(Lock& hold) {
        if (below(3) == 0) hold.lock();
        else if (below(2) == 0) return hold.try_lock();
        else return hold.try_lock_for(some_time());
        return true;
    }
    template <class Mutex>
    void exclusive(Mutex& m, std::atomic<int>& count, const char* what) {
        std::unique_lock hold(m, std::defer_lock);
        if (!lock_somehow(hold)) return;
        const inside here(count, 1, what);
        linger();
    }
    void recursive() {
        std::unique_lock hold(w_.recursive, std::defer_lock);
        if (!lock_somehow(hold)) return;
        const inside here(w_.in_recursive, 1, "two in a recursive_mutex");
        const std::lock_guard again(w_.recursive);
        linger();
    }
    void write() {
        std::unique_lock hold(w_.shared, std::defer_lock);
        if (!lock_somehow(hold)) return;
        const inside here(w_.writers, 1, "two writers");
        if (w_.readers != 0) fail("a writer among readers");
        linger();
    }
    void read() {
        std::shared_lock hold(w_.shared, std::defer_lock);
        if (!lock_somehow(hold)) return;
        const inside here(w_.readers, 1 << 20, "");
        if (w_.writers != 0) fail("a reader beside a writer");
        linger();
    }
    template <class Semaphore>
    void acquire(Semaphore& s, std::atomic<int>& count) {
        if (!s.acquire(maybe_never())) return;
        const std::unique_lock release(s, std::adopt_lock);
        const inside here(count, permits, "more than the semaphore has");
        linger();
    }

    void condition() {
        std::unique_lock hold(w_.pot_lock);
        if (below(2) == 0) {
            ++w_.pot;
            ++w_.pot_filled;
            if (below(8) == 0) w_.pot_changed.notify_all();
            else w_.pot_changed.notify_one();
            return;
        }
        if (!w_.pot_changed.wait(hold, maybe_never(), [this] { return w_.pot > 0 || stop; })) return;
        if (!hold.owns_lock()) fail("a wait returned without its lock");
        if (w_.pot == 0) return;
        --w_.pot;
        ++w_.pot_taken;
    }

    void number() {
        try {
            if (below(2) == 0) {
                w_.numbers.put(static_cast<int>(below(100)), some_time());
            } else {
                const int n = below(2) == 0 ? w_.numbers.peek(maybe_never()) : w_.numbers.get(maybe_never());
                if (n < 0 || n >= 100) fail("a number that nobody put");
            }
        } catch (const weft::queue_full&) {
        } catch (const weft::queue_empty&) {
        }
    }

    void meet() {
        if (w_.barrier.wait(some_time())) ++w_.met;
        if (below(4) == 0) w_.event.set();
        else if (below(4) == 0) w_.event.clear();
        (void)w_.event.wait(some_time());
    }

    void wait_for_several() {
        const auto some = pick();
        if (some && some != weft::this_fiber::self()) (void)weft::wait({some, w_.event, w_.queue, w_.channel, w_.semaphore}, some_time(), 1 + below(3));
        weft::generator<int> numbers([](auto& give) {
            for (int i = 0; i < 3; ++i) give(i);
        });
        int sum = 0;
        for (const int n : numbers) sum += n;
        if (sum != 3) fail("a generator left something out");
    }

    void result() {
        const std::size_t at = below(w_.results.size());
        weft::async_result<item_ptr> mine;
        {
            const std::lock_guard hold(w_.results_lock);
            if (below(8) == 0) w_.results[at] = mine;
            else mine = w_.results[at];
        }
        if (below(2) == 0) {
            (void)mine.set(std::make_unique<item>());
        } else {
            try {
                if (mine.get(some_time()) == nullptr) fail("a result without its value");
            } catch (const weft::timeout_error&) {
                weft::this_fiber::yield(); // the result's deadline, or ours, which is thrown here then
            }
        }
    }

    weft::any_fiber pick() {
        const std::lock_guard hold(w_.fibers_lock);
        return w_.fibers[below(w_.fibers.size())];
    }
    void kill_one() {
        const weft::any_fiber f = pick();
        if (!f || f == weft::this_fiber::self()) return;
        if (below(2) == 0) f.kill_async();
        else (void)f.kill(some_time());
    }
    void spawn_one() {
        const std::uint64_t seed = random_();
        ++live;
        struct census {
            bool here = true;
            census() = default;
            census(census&& other) noexcept : here(std::exchange(other.here, false)) {}
            census& operator=(census&&) = delete;
            ~census() {
                if (here) --live;
            }
        } counted;
        const weft::any_fiber f = weft::spawn([this_world = &w_, seed, counted = std::move(counted)] {
            static weft::fiber_local<long> steps;
            if (*steps != 0) fail("a fiber_local that was somebody else's");
            *steps = 1;
            actor me(*this_world, seed, true);
            me.run(me.below(40));
            if (++*steps != 2) fail("a fiber_local that somebody changed");
        });
        const std::lock_guard hold(w_.fibers_lock);
        w_.fibers[below(w_.fibers.size())] = f;
    }

    world& w_;
    std::mt19937_64 random_;
    const bool has_hub_;
};

/// Until the end; a thread with a hub then waits for its fibers.
void act(world& w, std::uint64_t seed, bool has_hub) {
    if (has_hub) weft::spawn([] {}).join();
    actor me(w, seed, has_hub);
    while (!stop) me.run(1000);
    if (has_hub && !weft::wait(60s)) fail("fibers are left that do not end");
}

/// Keeps things moving where all wait for something to be put or taken.
void pump(world& w) {
    const auto help = [](auto& q) {
        offered o;
        if (q.try_put(std::move(o.p))) o.put();
        else if (auto p = q.try_get()) got(std::move(*p));
    };
    while (!stop) {
        help(w.queue);
        help(w.lifo);
        help(w.heap);
        help(w.channel);
        help(w.other_channel);
        while (w.wide.size() > 100)
            if (auto p = w.wide.try_get()) got(std::move(*p));
        if (w.wide.empty()) help(w.wide);
        if (!w.numbers.try_put(1)) (void)w.numbers.try_get();
        {
            const std::lock_guard hold(w.pot_lock);
            ++w.pot;
            ++w.pot_filled;
            w.pot_changed.notify_one();
        }
        weft::this_fiber::sleep_for(500us);
    }
}

long setting(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::atol(text);
}

void nothing_lost_nothing_twice_nobody_forgotten(long seconds) {
    const auto seed = static_cast<std::uint64_t>(setting("WEFT_STRESS_SEED", static_cast<long>(std::random_device()())));
    const auto length = std::chrono::seconds(setting("WEFT_STRESS_SECONDS", seconds));
    std::cout << "WEFT_STRESS_SEED=" << seed << std::endl;
    std::mt19937_64 seeds(seed);
    {
        world w;
        std::vector<std::thread> threads;
        for (const bool has_hub : {true, true, false, false}) threads.emplace_back(act, std::ref(w), seeds(), has_hub);
        auto pumping = weft::spawn(pump, std::ref(w));
        auto timer = weft::spawn([&] {
            weft::this_fiber::sleep_for(length);
            stop = true;
            w.close();
        });
        auto ended = weft::spawn([&] { act(w, seeds(), false); }); // no wait for all: it would wait for itself
        for (int i = 0; i < 3; ++i) weft::spawn([&, s = seeds()] { act(w, s, false); });
        CHECK(weft::joinall({pumping, timer, ended}, length + 60s).size() == 3);
        CHECK(weft::wait(60s));
        for (auto& t : threads) t.join();

        const auto drain = [](auto& q) {
            for (auto& p : q) got(std::move(p));
        };
        drain(w.queue);
        drain(w.wide);
        drain(w.lifo);
        drain(w.heap);
        drain(w.channel);
        CHECK(w.mutex.try_lock());
        CHECK(w.recursive.try_lock());
        CHECK(w.shared.try_lock());
        CHECK(w.pot_lock.try_lock());
        w.mutex.unlock();
        w.recursive.unlock();
        w.shared.unlock();
        w.pot_lock.unlock();
        CHECK(w.semaphore.count() == permits);
        CHECK(w.bounded.count() == permits);
        CHECK(w.pot == w.pot_filled - w.pot_taken);
        CHECK(w.barrier.waiting() == 0);
    }
    std::cout << operations << " operations, " << items_put << " items" << std::endl;
    CHECK(failures == 0);
    CHECK(items_put == items_got);
    CHECK(items_alive == 0);
    CHECK(live == 0);
    CHECK(operations > 1000);
}

} // namespace

TEST_CASE("nothing_lost_nothing_twice_nobody_forgotten", "[timeout:180]") { nothing_lost_nothing_twice_nobody_forgotten(30); }
TEST_CASE("ten_minutes_of_it", "[long][timeout:900]") { nothing_lost_nothing_twice_nobody_forgotten(600); }
