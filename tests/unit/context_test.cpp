// SPDX-License-Identifier: Apache-2.0
// What a switch keeps: errno, the C++ exception globals, the floating-point control words.
#include <weft/fiber.hpp>

#include <cerrno>
#include <cfenv>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

TEST_CASE("errno_is_the_fibers_own") {
    std::vector<weft::fiber<int>> fibers;
    for (int i = 1; i <= 3; ++i) {
        fibers.push_back(weft::spawn([i] {
            int lost = 0;
            for (int turn = 0; turn < 50; ++turn) {
                errno = i;
                if (turn % 10 == 9) weft::this_fiber::sleep_for(100us);
                else weft::this_fiber::yield();
                lost += errno != i;
            }
            return lost;
        }));
    }
    errno = 77;
    weft::this_fiber::yield();
    CHECK(errno == 77);
    for (auto& f : fibers) CHECK(f.get() == 0);
}

TEST_CASE("fibers_parked_inside_catch_rethrow_their_own") {
    const auto body = [](std::string mine) {
        try {
            try {
                throw std::runtime_error(mine);
            } catch (const std::exception&) {
                weft::this_fiber::yield();
                weft::this_fiber::sleep_for(1ms);
                throw;
            }
        } catch (const std::exception& e) {
            return std::string(e.what());
        }
    };
    auto a = weft::spawn(body, "a");
    auto b = weft::spawn(body, "b");
    auto c = weft::spawn(body, "c");
    CHECK(a.get() == "a");
    CHECK(b.get() == "b");
    CHECK(c.get() == "c");
}

TEST_CASE("main_parked_inside_catch_rethrows_its_own") {
    auto f = weft::spawn([] {
        try {
            throw 1;
        } catch (int) {
            weft::this_fiber::sleep_for(1ms);
        }
        return std::current_exception() == nullptr;
    });
    try {
        try {
            throw std::string("mine");
        } catch (const std::string&) {
            weft::this_fiber::sleep_for(3ms);
            throw;
        }
    } catch (const std::string& s) {
        CHECK(s == "mine");
    }
    CHECK(std::current_exception() == nullptr);
    CHECK(f.get());
}

TEST_CASE("nested_handlers_of_two_fibers_interleave") {
    const auto body = [](int base) {
        std::string seen;
        try {
            throw base + 1;
        } catch (int) {
            weft::this_fiber::yield();
            try {
                throw base + 2;
            } catch (int) {
                weft::this_fiber::yield();
                try {
                    throw;
                } catch (int inner) {
                    seen += std::to_string(inner) + " ";
                }
                weft::this_fiber::yield();
            }
            weft::this_fiber::yield();
            try {
                throw;
            } catch (int outer) {
                seen += std::to_string(outer);
            }
        }
        return seen;
    };
    auto a = weft::spawn(body, 10);
    auto b = weft::spawn(body, 20);
    CHECK(a.get() == "12 11");
    CHECK(b.get() == "22 21");
}

namespace {

/// Switches while the stack unwinds, and notes what uncaught_exceptions says before and after.
struct switches_in_destructor {
    std::string& seen;
    ~switches_in_destructor() {
        seen += std::to_string(std::uncaught_exceptions());
        weft::this_fiber::yield();
        weft::this_fiber::sleep_for(1ms);
        seen += std::to_string(std::uncaught_exceptions());
    }
};

} // namespace

TEST_CASE("exceptions_in_a_fiber_while_another_unwinds") {
    const auto unwinds = [] {
        std::string seen;
        try {
            const switches_in_destructor s{seen};
            throw std::runtime_error("out");
        } catch (const std::exception& e) {
            seen += e.what();
        }
        return seen + std::to_string(std::uncaught_exceptions());
    };
    auto a = weft::spawn(unwinds);
    auto b = weft::spawn(unwinds);
    auto c = weft::spawn([] { // throws and catches while the others are in the middle of it
        int wrong = 0;
        for (int i = 0; i < 20; ++i) {
            wrong += std::uncaught_exceptions() != 0;
            try {
                throw i;
            } catch (int n) {
                wrong += n != i;
            }
            weft::this_fiber::yield();
        }
        return wrong;
    });
    CHECK(a.get() == "11out0");
    CHECK(b.get() == "11out0");
    CHECK(c.get() == 0);
}

TEST_CASE("a_new_fiber_begins_without_exceptions") {
    try {
        throw 1;
    } catch (int) {
        auto f = weft::spawn([] { return std::current_exception() == nullptr && std::uncaught_exceptions() == 0; });
        CHECK(f.get());
    }
}

TEST_CASE("rounding_mode_is_the_fibers_own") {
    volatile double three = 3;
    const auto third = [&three](int mode) {
        std::fesetround(mode);
        int wrong = 0;
        const double expected = 1 / three;
        for (int i = 0; i < 20; ++i) {
            weft::this_fiber::yield();
            wrong += std::fegetround() != mode || 1 / three != expected;
        }
        return wrong;
    };
    auto up = weft::spawn(third, FE_UPWARD);
    auto down = weft::spawn(third, FE_DOWNWARD);
    auto zero = weft::spawn(third, FE_TOWARDZERO);
    weft::this_fiber::yield();
    CHECK(std::fegetround() == FE_TONEAREST);
    CHECK(up.get() == 0);
    CHECK(down.get() == 0);
    CHECK(zero.get() == 0);
    CHECK(std::fegetround() == FE_TONEAREST);
}
