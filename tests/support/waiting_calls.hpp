// SPDX-License-Identifier: Apache-2.0
#pragma once

// What every call that waits must do, tried on a table of such calls: a deadline in the past polls, a deadline ends it, a timeout scope ends
// it, a kill ends it and takes nothing, another kernel thread wakes it and can do all that itself, but for the kill.

#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace test_support {

using namespace std::chrono_literals;
using weft::deadline;

enum class takes { a_deadline, none };

/// A call on an object of its own, which has to wait, and what lets it go on.
struct waiting_call {
    std::function<bool(deadline)> gives_up; // true: it says that the deadline came first
    std::function<void()> wake;
};
struct call_kind {
    const char* name;
    takes what;
    std::function<waiting_call()> make;
    bool once = false; // who was killed in it has taken its turn: it goes on without
};

template <class Error, class F>
bool throws(F call) {
    try {
        call();
        return false;
    } catch (const Error&) {
        return true;
    }
}

/// For calls on an object that is waited for as it is made.
template <class T, class Wait, class Wake, class... Args>
call_kind on(const char* name, takes what, Wait wait, Wake wake, Args... args) {
    return {name, what, [=] {
        auto object = std::make_shared<T>(args...);
        return waiting_call{[=](deadline d) { return wait(*object, d); }, [=] { wake(*object); }};
    }};
}
/// For calls on an object that something must be done to first.
template <class T, class First, class Wait, class Wake, class... Args>
call_kind after(First first, const char* name, takes what, Wait wait, Wake wake, Args... args) {
    return {name, what, [=] {
        auto object = std::make_shared<T>(args...);
        first(*object);
        return waiting_call{[=](deadline d) { return wait(*object, d); }, [=] { wake(*object); }};
    }};
}

/// The call has gone on in `f`; how it ended.
inline bool went_on(const weft::fiber<bool>& f) { return f.join(30s) && !f.get(); }

/// By the scope, whose error some of the calls take for the deadline's.
inline bool a_scope_ends(const waiting_call& c) {
    try {
        return weft::with_timeout(2ms, [&] { return c.gives_up({}); });
    } catch (const weft::timeout_error&) {
        return true;
    }
}

inline void check(const std::vector<call_kind>& kinds) {
    for (const call_kind& kind : kinds) {
        INFO(kind.name);
        {
            const waiting_call c = kind.make();
            if (kind.what == takes::a_deadline) {
                CHECK(c.gives_up(-1s));
                CHECK(c.gives_up(0s));
                CHECK(c.gives_up(2ms));
                CHECK(c.gives_up(std::chrono::system_clock::now() + 1ms));
            }
            CHECK(a_scope_ends(c));
        }
        {
            const waiting_call c = kind.make();
            bool gave_up = true; // Catch2's checks are for the main thread only
            std::thread([&] {
                if (kind.what == takes::a_deadline) gave_up = c.gives_up(-1s) && c.gives_up(2ms);
                gave_up = gave_up && a_scope_ends(c);
            }).join();
            CHECK(gave_up);
        }
        {
            const waiting_call c = kind.make();
            auto killed = weft::spawn([&] { return c.gives_up({}); });
            weft::this_fiber::yield();
            CHECK_FALSE(killed.ready());
            CHECK(killed.kill(30s));
            CHECK_THROWS_AS(killed.get(), weft::fiber_killed);
            if (kind.once) continue;
            auto next = weft::spawn([&] { return c.gives_up({}); }); // gets what the other has not taken
            weft::this_fiber::yield();
            CHECK_FALSE(next.ready());
            weft::event woken;
            std::thread foreign([&] {
                c.wake();
                woken.set();
            });
            CHECK(went_on(next));
            CHECK(woken.wait(30s));
            foreign.join();
        }
        {
            const waiting_call c = kind.make();
            weft::async_result<bool> ended;
            weft::event begun;
            std::thread foreign([&] {
                begun.set();
                ended.set(c.gives_up({}));
            });
            begun.wait();
            weft::this_fiber::sleep_for(1ms); // most likely it waits by now
            c.wake();
            CHECK_FALSE(ended.get(30s));
            foreign.join();
        }
    }
}

} // namespace test_support
