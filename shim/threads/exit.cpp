// SPDX-License-Identifier: Apache-2.0
#include "threads/exit.hpp"

#include "core/real.hpp"
#include "core/serve.hpp"
#include "core/signals.hpp"
#include "threads/futex.hpp"

#include "core/carrier.hpp"
#include "core/registry.hpp"
#include "core/thread_end.hpp"
#include "core/tls_frame.hpp"
#include <weft/export.hpp>

#include <bit>
#include <climits>
#include <csetjmp>
#include <cstdlib>

#include <ucontext.h>
#include <unwind.h>

extern "C" {
[[gnu::visibility("hidden")]] void* weft_thread_entry(void* (*start)(void*), void* argument);
[[gnu::visibility("hidden")]] void weft_main_exit();
[[gnu::visibility("hidden"), noreturn]] void weft_main_has_exited();
// In core/call_on_stack.S: where a handler returns to, and where one goes that has ended its thread.
[[gnu::visibility("hidden")]] extern const char weft_handler_returned[], weft_handler_left[];
[[gnu::visibility("hidden")]] void weft_interrupted_end();
// What pthread_cleanup_push is made of in C without exceptions.
void __pthread_register_cancel(__pthread_unwind_buf_t* buffer);
void __pthread_unregister_cancel(__pthread_unwind_buf_t* buffer);
}

namespace weft::shim::ending {

namespace {

/// As pthread_cleanup_push has it: setjmp writes no more than there is room for.
__jmp_buf_tag* jump_of(__pthread_unwind_buf_t& place) noexcept { return reinterpret_cast<__jmp_buf_tag*>(&place); }

/// Where libc's unwinding goes when `place` is done with: the one registered before.
__pthread_unwind_buf_t*& outer(__pthread_unwind_buf_t& place) noexcept {
    return reinterpret_cast<__pthread_unwind_buf_t*&>(place.__pad[0]);
}

// Of a jmp_buf on x86-64: where the stack pointer and the address to go to lie, and how libc disguises them.
constexpr std::size_t frame_at = 1, stack_at = 6, address_at = 7;
std::uintptr_t guard() noexcept {
    std::uintptr_t g = 0;
    asm("movq %%fs:0x30, %0" : "=r"(g));
    return g;
}
std::uintptr_t plain(long disguised) noexcept { return std::rotr(static_cast<std::uintptr_t>(disguised), 17) ^ guard(); }
long disguised(std::uintptr_t p) noexcept { return static_cast<long>(std::rotl(p ^ guard(), 17)); }

// --- Handlers in the midst of weft's code ---

/// The innermost handler that weft has called and that has not returned; and what was registered since.
struct handler_search {
    std::uintptr_t from;               // the stack pointer of the frame before
    __pthread_unwind_buf_t* next;      // the innermost place that no frame so far holds
    __pthread_unwind_buf_t* inner = nullptr;
    _pthread_cleanup_buffer* cleanup;  // the same of those that old programs register
    std::uintptr_t stack_pointer = 0, frame_pointer = 0;
};

bool lies_between(std::uintptr_t from, std::uintptr_t to, const void* p) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    return address >= from && address < to;
}

_Unwind_Reason_Code look_at_frame(_Unwind_Context* frame, void* argument) noexcept {
    auto& s = *static_cast<handler_search*>(argument);
    const std::uintptr_t here = _Unwind_GetCFA(frame); // the stack pointer in it
    while (s.next != nullptr && lies_between(s.from, here, s.next)) s.next = outer(*(s.inner = s.next));
    while (s.cleanup != nullptr && lies_between(s.from, here, s.cleanup)) s.cleanup = s.cleanup->__prev;
    s.from = here;
    if (s.next == nullptr) return _URC_NORMAL_STOP; // the thread begins here
    if (_Unwind_GetIP(frame) != reinterpret_cast<std::uintptr_t>(weft_handler_returned)) return _URC_NO_REASON;
    constexpr int rbp = 6;
    s.stack_pointer = here;
    s.frame_pointer = _Unwind_GetGR(frame, rbp);
    return _URC_NORMAL_STOP;
}

/// Lets the unwinding stop where such a handler was called. False: there is none.
[[gnu::noinline]] bool stop_at_handler(green_thread& self) {
    __pthread_unwind_buf_t& stop = self.at_handler;
    stop = {};
    __pthread_register_cancel(&stop);
    __pthread_unregister_cancel(&stop);
    handler_search found{reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)), outer(stop), nullptr,
                         static_cast<_pthread_cleanup_buffer*>(stop.__pad[1]), 0, 0};
    _Unwind_Backtrace(look_at_frame, &found);
    if (found.stack_pointer == 0) return false;
    auto& jump = stop.__cancel_jmp_buf[0].__cancel_jmp_buf;
    jump[frame_at] = disguised(found.frame_pointer);
    jump[stack_at] = disguised(found.stack_pointer);
    jump[address_at] = disguised(reinterpret_cast<std::uintptr_t>(weft_handler_left));
    if (found.inner == nullptr) __pthread_register_cancel(&stop);
    else outer(*found.inner) = &stop;
    outer(stop) = found.next;
    stop.__pad[1] = found.cleanup;
    return true;
}

// --- The main thread ---

/// Lets the unwinding of the main thread end at weft_main_exit rather than in libc, which would end the kernel thread. False: a jmp_buf is
/// not what it was.
[[gnu::noinline]] bool take_over_main() {
    __pthread_unwind_buf_t here;
    if (__sigsetjmp(jump_of(here), 0) != 0) return false;
    const auto stack = plain(here.__cancel_jmp_buf[0].__cancel_jmp_buf[stack_at]), near = reinterpret_cast<std::uintptr_t>(&here);
    if (stack + 4096 < near || stack > near + 4096) return false;
    __pthread_register_cancel(&here);
    __pthread_unwind_buf_t* outermost = outer(here);
    __pthread_unregister_cancel(&here);
    if (outermost == nullptr) return false;
    while (outer(*outermost) != nullptr) outermost = outer(*outermost);
    outermost->__cancel_jmp_buf[0].__cancel_jmp_buf[address_at] = disguised(reinterpret_cast<std::uintptr_t>(&weft_main_exit));
    return true;
}

/// main's end as a thread, not that of the process.
[[noreturn]] void main_has_exited(green_thread& t) {
    rt::tls_frame::end_keys(); // destructors of objects run at the end of the process
    {
        const trap::untrapped weft;
        std::atomic_ref(t.life).store(green_thread::ended, std::memory_order_seq_cst);
        futex::wake(&t.life, INT_MAX, false);
        green::outlive_main();
    }
    std::exit(EXIT_SUCCESS);
}

} // namespace

void run(green_thread& thread) {
    const rt::program_runs here;
    __pthread_unwind_buf_t bottom;
    if (__sigsetjmp(jump_of(bottom), 0) == 0) {
        __pthread_register_cancel(&bottom);
        outer(bottom) = nullptr; // what the frame's last thread has left is none of ours
        thread.result = weft_thread_entry(thread.start, thread.argument);
    }
    // A destructor that calls pthread_exit brings us here again, and the rest of them run.
    rt::tls_frame::end();
}

void leave(green_thread& self, void* result) {
    self.result = result;
    go_on(self);
}

void go_on(green_thread& self) {
    if (!stop_at_handler(self) && self.is_main() && !take_over_main()) main_has_exited(self);
    rt::this_thread_state.may_end = 0;
    real().pthread_exit(self.result);
    __builtin_unreachable();
}

void handler_has_left() noexcept {
    __pthread_unregister_cancel(&green::self()->at_handler);
    rt::this_thread_state.end_wanted.store(rt::end_begun, std::memory_order_relaxed);
}

void after_handler(void* context) noexcept {
    const rt::thread_state& here = rt::this_thread_state;
    if (here.end_wanted.load(std::memory_order_relaxed) != rt::end_begun || here.inside != 0 || rt::carrier_state().within) return;
    const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
    if (!signals::is_weft(static_cast<std::uintptr_t>(registers[REG_RIP]))) end_interrupted(context);
}

void end_interrupted(void* context) noexcept {
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    constexpr std::uintptr_t red_zone = 128;
    const std::uintptr_t below = static_cast<std::uintptr_t>(registers[REG_RSP]) - red_zone;
    auto* const top = reinterpret_cast<std::uintptr_t*>(below & ~std::uintptr_t{15}) - 2;
    top[0] = static_cast<std::uintptr_t>(registers[REG_RIP]);
    top[1] = static_cast<std::uintptr_t>(registers[REG_RSP]);
    registers[REG_RSP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(top));
    registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(&weft_interrupted_end));
}

namespace {

void exit_thread(void* result) {
    if (green_thread* const t = green::self(); t != nullptr) leave(*t, result);
    // Without green threads there may be kernel threads of weft's own, for which libc would wait.
    if (rt::hub::was_made() && rt::hub_registry::on_main_thread() && green::wanted()) leave(*green::self(), result);
    real().pthread_exit(result);
}

void exit_c11(int result) { exit_thread(reinterpret_cast<void*>(static_cast<std::intptr_t>(result))); }

} // namespace

} // namespace weft::shim::ending

void weft_main_has_exited() { weft::shim::ending::main_has_exited(*weft::shim::green::self()); }

using weft::shim::call;
using weft::shim::serve_thread;
namespace policy = weft::shim::ending;

extern "C" {

WEFT_API void pthread_exit(void* result) {
    serve_thread<call::pthread_exit>(policy::exit_thread, result);
    __builtin_unreachable();
}
WEFT_API void thrd_exit(int result) {
    serve_thread<call::thrd_exit>(policy::exit_c11, result);
    __builtin_unreachable();
}

} // extern "C"
