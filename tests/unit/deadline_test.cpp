// SPDX-License-Identifier: Apache-2.0
#include <weft/deadline.hpp>

#include <cmath>
#include <limits>
#include <ratio>

using namespace std::chrono_literals;
using weft::deadline;

namespace {

/// Whether `d` lies `from_now` ahead, give or take what a busy machine costs.
bool lies(deadline d, std::chrono::nanoseconds from_now) {
    const std::chrono::nanoseconds left = d.remaining();
    return left <= from_now && left > from_now - 10s;
}

} // namespace

TEST_CASE("deadline_default_is_never") {
    constexpr deadline d;
    STATIC_REQUIRE(d.is_never());
    CHECK_FALSE(d.expired());
    CHECK(d.remaining() == std::chrono::nanoseconds::max());
    CHECK(d.time() == deadline::time_point::max());
}

TEST_CASE("deadline_has_no_conversion_from_a_number") {
    STATIC_REQUIRE_FALSE(std::is_convertible_v<int, deadline>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<double, deadline>);
    STATIC_REQUIRE_FALSE(std::is_constructible_v<deadline, long>);
    STATIC_REQUIRE(std::is_convertible_v<std::chrono::seconds, deadline>);
    STATIC_REQUIRE(std::is_convertible_v<std::chrono::duration<float, std::ratio<60>>, deadline>);
    STATIC_REQUIRE(std::is_convertible_v<std::chrono::steady_clock::time_point, deadline>);
    STATIC_REQUIRE(std::is_convertible_v<std::chrono::system_clock::time_point, deadline>);
}

TEST_CASE("deadline_from_durations") {
    CHECK(lies(60s, 60s));
    CHECK(lies(2h, 2h));
    CHECK(lies(90'000ms, 90s));
    CHECK(lies(std::chrono::duration<double>(60.5), 60500ms));
    CHECK(lies(std::chrono::duration<float, std::ratio<60>>(1.5F), 90s));
    CHECK(lies(std::chrono::duration<long, std::ratio<1, 3>>(180), 60s));
    CHECK(lies(std::chrono::duration<long, std::pico>(60'000'000'000'000), 60s));
    CHECK(lies(std::chrono::duration<unsigned char, std::ratio<60>>(200), 12000s));
}

TEST_CASE("deadline_in_the_past_has_come") {
    CHECK(deadline(0s).expired());
    CHECK(deadline(-1ns).expired());
    CHECK(deadline(std::chrono::duration<double>(-0.5)).expired());
    CHECK(deadline(-5h).remaining() == 0ns);
    CHECK(deadline(deadline::clock::now()).expired());
    CHECK(deadline(std::chrono::system_clock::now() - 1s).expired());
    CHECK_FALSE(deadline(1h).expired());
}

TEMPLATE_TEST_CASE(
    "deadline_durations_saturate", "", std::chrono::nanoseconds, std::chrono::microseconds, std::chrono::seconds,
    std::chrono::hours, std::chrono::years) {
    CHECK(deadline(TestType::max()).is_never());
    CHECK_FALSE(deadline(TestType::max()).expired());
    CHECK(deadline(TestType::min()).expired());
    CHECK(deadline(TestType::min()).remaining() == 0ns);
}

TEST_CASE("deadline_nearly_max_is_never_rather_than_past") {
    CHECK(deadline(std::chrono::nanoseconds::max() - 1ns).is_never());
    CHECK_FALSE(deadline(std::chrono::duration<long, std::ratio<1, 3>>::max()).expired());
    // In range, though count * numerator alone would not be.
    CHECK(lies(std::chrono::duration<long, std::ratio<1, 30>>(100'000'000'000), 3'333'333'333'333'333'333ns));
}

TEST_CASE("deadline_from_floating_limits") {
    using seconds = std::chrono::duration<double>;
    CHECK(deadline(seconds(std::numeric_limits<double>::infinity())).is_never());
    CHECK(deadline(seconds(1e300)).is_never());
    CHECK(deadline(seconds(-std::numeric_limits<double>::infinity())).expired());
    CHECK(deadline(seconds(-1e300)).expired());
    CHECK(deadline(seconds(std::nan(""))).is_never());
}

TEST_CASE("deadline_from_time_points") {
    const auto at = deadline::clock::now() + 60s;
    CHECK(deadline(at).time() == at);
    CHECK(deadline(deadline::time_point::max()).is_never());
    CHECK(deadline(deadline::time_point::min()).expired());
    CHECK(deadline(std::chrono::time_point_cast<std::chrono::seconds>(at)).time() <= at);
    CHECK(lies(std::chrono::system_clock::now() + 60s, 60s));
    CHECK(deadline(std::chrono::system_clock::time_point::max()).is_never());
    CHECK(deadline(std::chrono::system_clock::time_point::min()).expired());
    using wall_days = std::chrono::sys_days;
    CHECK(deadline(wall_days::max()).is_never());
    CHECK(deadline(wall_days::min()).expired());
}

TEST_CASE("deadline_order") {
    const auto now = deadline::clock::now();
    CHECK(deadline(now) < deadline(now + 1ns));
    CHECK(deadline(now + 1h) < deadline());
    CHECK(deadline(deadline::time_point::min()) < deadline(now));
    CHECK(deadline(now) == deadline(now));
    CHECK(deadline() == deadline(std::chrono::hours::max()));
}
