// SPDX-License-Identifier: Apache-2.0
#include "core/setxid.hpp"

#include "core/sys.hpp"
#include "core/thread_pointer.hpp"
#include "core/thread_state.hpp"
#include "core/tls_layout.hpp"

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
constinit const tls_layout* layout = nullptr;

/// Whether a kernel thread answers by this frame.
bool stands_for_thread(const thread_state& s, const char* frame) noexcept {
    return s.carrier == nullptr || s.descriptor == frame || (s.carrier == &s && s.descriptor == nullptr);
}

/// All others of the list have nothing to do, so libc need not send them a signal. Who adds to the list meanwhile does it by one store.
void answer_for_frames() noexcept {
    const char* const head = layout->threads_by_hand;
    const auto next = [](const char* entry) { return std::atomic_ref(*reinterpret_cast<char**>(const_cast<char*>(entry))).load(std::memory_order_acquire); };
    for (char* entry = next(head); entry != head; entry = next(entry)) {
        char* const frame = entry - layout->list;
        if (stands_for_thread(*reinterpret_cast<thread_state*>(frame + layout->state), frame)) continue;
        std::atomic_ref(*reinterpret_cast<std::uint32_t*>(frame + layout->cancel)).fetch_and(~unanswered, std::memory_order_acq_rel);
    }
}

void on_signal(int number, siginfo_t* info, void* context) {
    // The compiler takes the thread pointer for what never changes within a function, so this is not left to it.
    char* mine = nullptr;
    asm volatile("movq %%fs:0, %0" : "=r"(mine));
    const auto state_in = [](char* frame) -> thread_state& { return *reinterpret_cast<thread_state*>(frame + layout->state); };
    thread_state* const carrier = state_in(mine).carrier;
    char* const own = carrier == nullptr ? mine : carrier->descriptor != nullptr ? carrier->descriptor : carrier->thread_pointer;
    const bool away = own != nullptr && own != mine;
    volatile std::uint8_t& selector = (carrier == nullptr ? state_in(mine) : *carrier).selector;
    const std::uint8_t trapped = selector;
    selector = 0; // what libc does here is real
    if (away) set_thread_pointer(own);
    libc_handler(number, info, context);
    answer_for_frames();
    if (away) set_thread_pointer(mine);
    selector = trapped;
}

} // namespace

void watch(const tls_layout& l) noexcept {
    kernel_action a{};
    if (libc_handler != nullptr || sys::call(SYS_rt_sigaction, libc_signal, 0, sys::arg(&a), sizeof a.mask) != 0) return;
    if (a.handler == nullptr || (a.flags & SA_SIGINFO) == 0) return; // libc does it in another way
    libc_handler = a.handler;
    layout = &l;
    a.handler = on_signal;
    // Nobody else's handler may run with the descriptor of another. But the way out of the handler is a system call of libc's, which is
    // trapped where the one that libc makes them for was trapped.
    a.mask = ~(std::uint64_t{1} << (SIGSYS - 1));
    sys::call(SYS_rt_sigaction, libc_signal, sys::arg(&a), 0, sizeof a.mask);
}

} // namespace weft::rt::setxid
