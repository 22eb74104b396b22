// SPDX-License-Identifier: Apache-2.0
// How a program handles signals.
#include "core/alternate_stack.hpp"
#include "core/signals.hpp"

#include <weft/export.hpp>

namespace signals = weft::shim::signals;

extern "C" {

WEFT_API int sigaction(int number, const struct sigaction* wanted, struct sigaction* old) noexcept {
    return signals::action(number, wanted, old);
}
WEFT_API int __sigaction(int number, const struct sigaction* wanted, struct sigaction* old) noexcept {
    return signals::action(number, wanted, old);
}
WEFT_API sighandler_t signal(int number, sighandler_t handler) noexcept {
    return signals::simple_action(number, handler, SA_RESTART);
}
WEFT_API sighandler_t ssignal(int number, sighandler_t handler) noexcept {
    return signals::simple_action(number, handler, SA_RESTART);
}
WEFT_API sighandler_t bsd_signal(int number, sighandler_t handler) noexcept {
    return signals::simple_action(number, handler, SA_RESTART);
}
WEFT_API sighandler_t sysv_signal(int number, sighandler_t handler) noexcept {
    return signals::simple_action(number, handler, static_cast<int>(SA_RESETHAND) | SA_NODEFER);
}
WEFT_API sighandler_t __sysv_signal(int number, sighandler_t handler) noexcept {
    return signals::simple_action(number, handler, static_cast<int>(SA_RESETHAND) | SA_NODEFER);
}
WEFT_API int sigaltstack(const stack_t* wanted, stack_t* old) noexcept { return signals::alternate_stack(wanted, old); }
WEFT_API int siginterrupt(int number, int does) noexcept { return signals::interrupts(number, does != 0); }

} // extern "C"
