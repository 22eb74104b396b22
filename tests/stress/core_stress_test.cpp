// SPDX-License-Identifier: Apache-2.0
// Random spawns, kills, timeouts, joins, yields, sleeps and links over several hubs and plain threads, checked against what
// each fiber notes about its own life. WEFT_STRESS_SEED repeats a run as far as the kernel's scheduling allows,
// WEFT_STRESS_SECONDS sets its length.
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/timeout.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long default_seconds = 5;
#else
constexpr long default_seconds = 10;
#endif
constexpr int most_live = 1500; // TSan bears about 8,000 in all

/// The model: what a fiber says of itself.
struct life {
    enum state { not_started, running, returned, threw, exited };
    std::atomic<int> now{not_started};
    std::atomic<bool> kill_asked{false};
    std::atomic<int> links{0};
    std::atomic<int> called{0};
    int value = 0;
};

struct entry {
    weft::fiber<int> handle;
    std::shared_ptr<life> model;
};

std::atomic<bool> stop{false};
std::atomic<int> live{0};
std::atomic<long> spawned{0};
std::atomic<long> checked{0};
std::atomic<long> failures{0};
std::mutex table_lock; // never held over a switch
std::array<entry, 200> table;
std::vector<entry> unchecked;

void fail(const char* what) {
    if (failures++ < 20) std::fprintf(stderr, "core_stress: %s\n", what);
}

/// It has ended: is that what its handle says too?
void check(const entry& e) {
    const int now = e.model->now;
    if (!e.handle.ready()) return fail("an ended fiber is not ready");
    if (e.handle.successful()) {
        if (now != life::returned || e.handle.get(0s) != e.model->value) fail("successful, but it did not return that");
    } else if (e.handle.exception() != nullptr) {
        if (now != life::threw && !(now == life::not_started && e.model->kill_asked)) fail("an exception from nowhere");
    } else if (!e.model->kill_asked || (now != life::exited && now != life::not_started)) {
        fail("killed, but nobody asked or it went on");
    }
    if (e.handle.started() != (now != life::not_started)) fail("started() is wrong");
    ++checked;
}

/// An entry taken out of the table; whatever happens to its holder it is checked in the end.
struct taken {
    entry e;
    bool done = false;
    ~taken() {
        if (done || !e.model) return;
        const std::lock_guard hold(table_lock);
        unchecked.push_back(std::move(e));
    }
    void finish() {
        if (!e.model) return;
        if (!e.handle.ready()) {
            e.model->kill_asked = true;
            for (int tries = 0; !e.handle.kill(10s); ++tries) {
                if (tries == 2) return fail("it does not die");
            }
        }
        check(e); // may be interrupted itself; then it is checked later
        done = true;
    }
};

class actor {
public:
    actor(std::uint64_t seed, bool has_hub) : random_(seed), has_hub_(has_hub) {}

    void step() {
        switch (below(has_hub_ ? 11 : 7)) {
        case 0: weft::this_fiber::yield(); break;
        case 1: weft::this_fiber::sleep_for(some_time()); break;
        case 2: timed(); break;
        case 3: pick().handle_join(some_time()); break;
        case 4: pick().kill_async(below(2) == 0); break;
        case 5: pick().kill(some_time()); break;
        case 6: pick().link(); break;
        default:
            if (live < most_live && !stop) spawn_one();
            else weft::this_fiber::yield();
        }
    }

private:
    struct picked {
        entry e;
        [[nodiscard]] bool usable() const { return e.model != nullptr; }
        void handle_join(std::chrono::nanoseconds d) const {
            if (!usable() || is_me()) return;
            if (e.handle.join(d) && !e.handle.ready()) fail("join says true too early");
        }
        void kill_async(bool with) const {
            if (!usable()) return;
            e.model->kill_asked = true;
            if (with && !is_me()) e.handle.kill_with(std::make_exception_ptr(std::runtime_error("poked")), 0s);
            else e.handle.kill_async();
        }
        void kill(std::chrono::nanoseconds d) const {
            if (!usable() || is_me()) return;
            e.model->kill_asked = true;
            if (e.handle.kill(d) && !e.handle.ready()) fail("kill says true too early");
        }
        void link() const {
            // A callback runs on the fiber's hub, or here after its end: only a thread with a hub may add one.
            if (!usable() || e.handle.ready() || weft_thread == nullptr) return;
            ++e.model->links;
            e.handle.link([m = e.model](const weft::any_fiber& f) {
                if (!f.ready()) fail("a link before the end");
                ++m->called;
            });
        }
        [[nodiscard]] bool is_me() const { return weft_thread != nullptr && e.handle == weft::this_fiber::self(); }
    };

    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    std::chrono::nanoseconds some_time() { return std::chrono::microseconds(below(4) == 0 ? 0 : below(800)); }

    picked pick() {
        const std::size_t at = below(table.size());
        const std::lock_guard hold(table_lock);
        return {table[at]};
    }

    void timed() {
        weft::timeout outer(some_time());
        try {
            weft::timeout inner(some_time());
            weft::this_fiber::sleep_for(some_time());
            weft::this_fiber::yield();
        } catch (const weft::timeout_error& e) {
            if (e.is(outer) && !outer.expired()) fail("timed out before its time");
        }
    }

    void spawn_one() {
        auto model = std::make_shared<life>();
        model->value = static_cast<int>(below(1000));
        const std::uint64_t seed = random_();
        ++spawned;
        const auto body = [model, seed] {
            struct census {
                census() { ++live; }
                ~census() { --live; }
            } const counted;
            model->now = life::running;
            try {
                actor me(seed, true);
                for (std::uint64_t steps = me.below(12); steps > 0 && !stop; --steps) me.step();
                if (me.below(10) == 0) throw std::logic_error("as planned");
                model->now = life::returned;
                return model->value;
            } catch (const weft::fiber_exit&) {
                model->now = life::exited;
                throw;
            } catch (...) {
                model->now = life::threw;
                throw;
            }
        };
        taken old;
        {
            auto handle = below(5) == 0 ? weft::spawn_later(some_time(), body) : weft::spawn(body);
            const std::size_t at = below(table.size());
            const std::lock_guard hold(table_lock);
            old.e = std::exchange(table[at], entry{handle, model});
        }
        old.finish();
    }

    std::mt19937_64 random_;
    bool has_hub_;

public:
    static thread_local const actor* weft_thread; // not null where the thread has a hub that lasts
};

thread_local const actor* actor::weft_thread = nullptr;

void act(std::uint64_t seed, bool has_hub) {
    actor me(seed, has_hub);
    if (has_hub) {
        weft::spawn([] {}).join();
        actor::weft_thread = &me;
    }
    while (!stop) {
        try {
            me.step();
        } catch (const weft::timeout_error&) {
            fail("a timeout left its scope");
        }
    }
    if (has_hub && !weft::wait(60s)) fail("fibers are left that do not end");
}

long setting(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::atol(text);
}

} // namespace

TEST_CASE("fibers_live_as_they_say", "[timeout:120]") {
    const auto seed =
        static_cast<std::uint64_t>(setting("WEFT_STRESS_SEED", static_cast<long>(std::random_device()())));
    const auto length = std::chrono::seconds(setting("WEFT_STRESS_SECONDS", default_seconds));
    std::cout << "WEFT_STRESS_SEED=" << seed << "\n";
    std::mt19937_64 seeds(seed);

    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) threads.emplace_back(act, seeds(), true);
    for (int t = 0; t < 2; ++t) threads.emplace_back(act, seeds(), false);
    // Threads that come and go, with fibers that are alive when they end.
    threads.emplace_back([first = seeds()] {
        std::mt19937_64 more(first);
        while (!stop) {
            std::thread([s = more()] {
                actor me(s, false); // no links: their callbacks could be killed with this thread
                auto forever = weft::spawn([] { weft::this_fiber::sleep_for(1h); });
                for (int i = 0; i < 20; ++i) me.step();
                forever.kill_async();
            }).join();
        }
    });
    auto timer = weft::spawn([length] {
        weft::this_fiber::sleep_for(length);
        stop = true;
    });
    act(seeds(), true);
    timer.join();
    for (auto& t : threads) t.join();

    for (entry& e : table) unchecked.push_back(std::move(e));
    long links = 0;
    for (const entry& e : unchecked) {
        if (!e.model) continue;
        e.handle.join(20s);
        check(e);
        links += e.model->links - e.model->called;
    }
    std::cout << spawned << " fibers, " << checked << " checked\n";
    CHECK(failures == 0);
    CHECK(checked == spawned);
    CHECK(links == 0);
    CHECK(live == 0);
    CHECK(spawned > 1000);
}
