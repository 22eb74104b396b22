// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one way from an exported stub to its policy or to libc. A stub is
//
//     WEFT_API ssize_t read(int fd, void* buffer, std::size_t size) { return serve<call::read>(io::read, fd, buffer, size); }
//
// so whatever is to happen around every intercepted call happens here.

#include "core/cancel.hpp"
#include "core/gate.hpp"
#include "core/real.hpp"
#include "core/trap.hpp"

#include <array>
#include <type_traits>

namespace weft::shim {

/// Every call of calls.def, in its order.
enum class call : std::uint16_t {
#define WEFT_CALL(name, family) name,
#include "core/calls.def"
#undef WEFT_CALL
};

constexpr family family_of[] = {
#define WEFT_CALL(name, f) family::f,
#include "core/calls.def"
#undef WEFT_CALL
};

constexpr std::size_t call_count = sizeof family_of / sizeof family_of[0];

template <call>
struct real_member;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#define WEFT_CALL(name, family)                                                                                        \
    template <>                                                                                                        \
    struct real_member<call::name> {                                                                                   \
        static constexpr auto value = &real_calls::name;                                                               \
    };
#include "core/calls.def"
#undef WEFT_CALL
#pragma GCC diagnostic pop

/// libc's function of that call.
template <call c>
auto real_of() noexcept {
    return real().*real_member<c>::value;
}

/// How a call is a cancellation point.
enum class point : std::uint8_t { none, at_once, waiting, anywhere };

constexpr auto point_of = [] {
    std::array<point, call_count> all{};
#define WEFT_POINT(name, kind) all[static_cast<std::size_t>(call::name)] = point::kind;
#include "core/cancel_points.def"
#undef WEFT_POINT
    return all;
}();

/// Makes the call by `make()`. If it is a cancellation point, a green thread that somebody has cancelled ends here: it is unwound from this very
/// frame, when nothing of weft's lies on its stack any more, so what waits in there returns with an error first, as for a kill.
template <call c, class Make>
auto at_point(Make make) {
    constexpr point kind = point_of[static_cast<std::size_t>(c)];
    if constexpr (kind == point::none) {
        return make();
    } else {
        rt::thread_state& here = rt::this_thread_state;
        const std::uint8_t outer = here.may_end;
        if constexpr (kind == point::at_once)
            if (__builtin_expect(here.end_wanted.load(std::memory_order_relaxed), 0) != 0 && outer == 0) cancel::at_entry();
        here.may_end = kind == point::anywhere ? rt::ends_if_asynchronous : rt::ends;
        if constexpr (std::is_void_v<decltype(make())>) {
            make();
            here.may_end = outer;
            if (__builtin_expect(here.end_wanted.load(std::memory_order_relaxed), 0) != 0 && outer == 0) cancel::at_return(false);
        } else {
            const auto result = make();
            here.may_end = outer;
            if (__builtin_expect(here.end_wanted.load(std::memory_order_relaxed), 0) != 0 && outer == 0) {
                // What was moved must not be lost: the thread ends at its next point.
                if constexpr (std::is_same_v<decltype(make()), ssize_t>) cancel::at_return(result >= 0);
                else cancel::at_return(false);
            }
            return result;
        }
    }
}

template <call c, class Served, class Otherwise, class... A>
[[gnu::noinline]] auto serve_counted(Served served, Otherwise otherwise, A... arguments) {
    constexpr auto number = static_cast<std::size_t>(c);
    trap::untrapped weft;
    const stats::one_call here(number, gate::way_of(family_of[number]));
    if (here.is_served()) return served(arguments...);
    weft.leave();
    return otherwise(arguments...);
}

/// Serves the call by `served(arguments...)`, or makes it by `otherwise(arguments...)`, as the gate says.
template <call c, class Served, class Otherwise, class... A>
auto serve_or(Served served, Otherwise otherwise, A... arguments) {
    static_assert(point_of[static_cast<std::size_t>(c)] == point::none || !std::is_nothrow_invocable_v<Otherwise, A...>,
                  "libc unwinds a kernel thread that is cancelled");
    return at_point<c>([&]() {
        if (__builtin_expect(stats::counting, 0)) return serve_counted<c>(served, otherwise, arguments...);
        trap::untrapped here;
        if (gate::open(family_of[static_cast<std::size_t>(c)])) return served(arguments...);
        here.leave();
        return otherwise(arguments...);
    });
}

/// The usual case: otherwise it is libc's own call.
template <call c, class Served, class... A>
auto serve(Served served, A... arguments) {
    return serve_or<c>(served, [](A... a) { return real_of<c>()(a...); }, arguments...);
}

template <call c, class Served, class... A>
[[gnu::noinline]] auto serve_everywhere_counted(Served served, A... arguments) {
    constexpr auto number = static_cast<std::size_t>(c);
    const trap::untrapped weft;
    const stats::one_call here(number, gate::way_of(family_of[number]));
    if (gate::open_everywhere(family_of[number])) return served(arguments...);
    return real_of<c>()(arguments...);
}

/// The same for calls that are served on every thread, also where there is no fiber (gate::open_everywhere).
template <call c, class Served, class... A>
auto serve_everywhere(Served served, A... arguments) {
    return at_point<c>([&]() {
        if (__builtin_expect(stats::counting, 0)) return serve_everywhere_counted<c>(served, arguments...);
        const trap::untrapped here;
        if (gate::open_everywhere(family_of[static_cast<std::size_t>(c)])) return served(arguments...);
        return real_of<c>()(arguments...);
    });
}

template <call c, class Served, class... A>
[[gnu::noinline]] auto serve_thread_counted(Served served, A... arguments) {
    constexpr auto number = static_cast<std::size_t>(c);
    const trap::untrapped weft;
    const stats::one_call here(number, gate::is_on(family_of[number]) ? stats::way::served : stats::way::family_off);
    return served(arguments...);
}

/// Calls about threads: `served` itself tells green threads from kernel threads, wherever it is called.
template <call c, class Served, class... A>
auto serve_thread(Served served, A... arguments) {
    if (__builtin_expect(stats::counting, 0)) return serve_thread_counted<c>(served, arguments...);
    const trap::untrapped here;
    return served(arguments...);
}

} // namespace weft::shim
