// SPDX-License-Identifier: Apache-2.0
#include "core/setxid.hpp"

#include "core/sys.hpp"
#include "core/thread_pointer.hpp"
#include "core/thread_state.hpp"

#include <atomic>
#include <csignal>
#include <cstdint>

namespace weft::rt::setxid {

namespace {

constexpr int libc_signal = 33;             // SIGSETXID; sigaction would refuse it
constexpr std::uint32_t unanswered = 0x40;  // SETXID_BITMASK, the same since there are threads

struct kernel_action {
    void (*handler)(int, siginfo_t*, void*); // as the kernel has it
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
};

using handler_function = void (*)(int, siginfo_t*, void*);
constinit handler_function libc_handler = nullptr;
constinit std::ptrdiff_t flag_offset = 0, state_offset = 0;
constinit std::atomic<char*> other{nullptr};

void on_signal(int number, siginfo_t* info, void* context) {
    // The compiler takes the thread pointer for what never changes within a function, so this is not left to it.
    char* mine = nullptr;
    asm volatile("movq %%fs:0, %0" : "=r"(mine));
    const auto state_in = [](char* frame) -> thread_state& { return *reinterpret_cast<thread_state*>(frame + state_offset); };
    thread_state* const carrier = state_in(mine).carrier;
    char* const own = carrier == nullptr ? mine : carrier->descriptor != nullptr ? carrier->descriptor : carrier->thread_pointer;
    const bool away = own != nullptr && own != mine;
    volatile std::uint8_t& selector = (carrier == nullptr ? state_in(mine) : *carrier).selector;
    const std::uint8_t trapped = selector;
    selector = 0; // SIGSYS is blocked
    if (away) set_thread_pointer(own);
    libc_handler(number, info, context);
    if (char* const frame = other.load(std::memory_order_acquire); frame != nullptr)
        std::atomic_ref(*reinterpret_cast<std::uint32_t*>(frame + flag_offset)).fetch_and(~unanswered, std::memory_order_acq_rel);
    if (away) set_thread_pointer(mine);
    selector = trapped;
}

} // namespace

void watch(std::ptrdiff_t cancel) noexcept {
    kernel_action a{};
    if (libc_handler != nullptr || sys::call(SYS_rt_sigaction, libc_signal, 0, sys::arg(&a), sizeof a.mask) != 0) return;
    if (a.handler == nullptr || (a.flags & SA_SIGINFO) == 0) return; // libc does it in another way
    libc_handler = a.handler;
    flag_offset = cancel;
    state_offset = reinterpret_cast<char*>(&this_thread_state) - rt::thread_pointer();
    a.handler = on_signal;
    a.mask = ~std::uint64_t{0}; // nobody else's handler may run with the descriptor of another
    sys::call(SYS_rt_sigaction, libc_signal, sys::arg(&a), 0, sizeof a.mask);
}

void also_answers_for(char* frame) noexcept { other.store(frame, std::memory_order_release); }

} // namespace weft::rt::setxid
