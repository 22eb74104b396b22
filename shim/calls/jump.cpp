// SPDX-License-Identifier: Apache-2.0
// Jumps that restore a signal mask (jump.S has the other half). libc's own would save and restore the kernel thread's.
#include "core/real.hpp"
#include "core/serve.hpp"
#include "core/alternate_stack.hpp"
#include "core/signal_handlers.hpp"
#include "core/signals.hpp"

#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>

#include <setjmp.h>

namespace weft::shim {

namespace {

using signals::bits;

// jump.S has these numbers.
static_assert(offsetof(__jmp_buf_tag, __saved_mask) == 72 && sizeof(sigset_t) == 128);

/// Our sign, which no other buffer has.
unsigned long sign_of(const __jmp_buf_tag* buffer) noexcept { return reinterpret_cast<std::uintptr_t>(buffer) ^ 0x9e3779b97f4a7c15U; }

using jump_function = void (*)(__jmp_buf_tag*, int) noexcept(false);

/// Restores the mask that the buffer has, if any. What is pending and not blocked any more is handled here, as libc's jump would have it.
[[noreturn]] void jump(jump_function go, __jmp_buf_tag* buffer, int value) {
    __jmp_buf_tag to = *buffer;
    {
        const trap::untrapped here;
        signals::receiver* const me = signals::own_masks();
        if (me != nullptr) me->over_weft = 0;
        const bool noted = buffer->__saved_mask.__val[1] == sign_of(buffer);
        if (me != nullptr && (noted || buffer->__mask_was_saved != 0)) {
            to.__mask_was_saved = 0;
            signals::set_mask(*me, buffer->__saved_mask.__val[0] & ~signals::libcs_own);
            signals::restore_kernel_mask();
            if (me->attention.load(std::memory_order_relaxed)) signals::run_pending(*me, true);
        } else if (noted) {
            to.__mask_was_saved = 1;
            to.__saved_mask.__val[1] = 0;
        }
    }
    go(&to, value);
    __builtin_unreachable();
}

} // namespace

} // namespace weft::shim

using namespace weft::shim;

extern "C" {

// For jump.S.
[[gnu::visibility("hidden")]] extern decltype(&::__sigsetjmp) weft_real_sigsetjmp;
constinit decltype(&::__sigsetjmp) weft_real_sigsetjmp = nullptr;

/// What libc is to save.
[[gnu::visibility("hidden")]] int weft_note_mask(__jmp_buf_tag* buffer, int saves) noexcept {
    weft_real_sigsetjmp = real().__sigsetjmp;
    const signals::receiver* const me = saves == 0 ? nullptr : signals::own_masks();
    buffer->__saved_mask.__val[1] = me == nullptr ? 0 : sign_of(buffer);
    if (me == nullptr) return saves;
    buffer->__saved_mask.__val[0] = me->mask;
    return 0;
}

WEFT_API void longjmp(__jmp_buf_tag buffer[1], int value) { jump(reinterpret_cast<jump_function>(real().longjmp), buffer, value); }
WEFT_API void _longjmp(__jmp_buf_tag buffer[1], int value) { jump(reinterpret_cast<jump_function>(real()._longjmp), buffer, value); }
WEFT_API void siglongjmp(__jmp_buf_tag buffer[1], int value) { jump(reinterpret_cast<jump_function>(real().siglongjmp), buffer, value); }
/// It refuses to jump down the stack. Whether that is what a jump off an alternate stack does, libc would ask the kernel.
WEFT_API void __longjmp_chk(__jmp_buf_tag buffer[1], int value) {
    const bool unchecked = signals::on_own_alternate_stack();
    jump(reinterpret_cast<jump_function>(unchecked ? real().longjmp : real().__longjmp_chk), buffer, value);
}

} // extern "C"
