// SPDX-License-Identifier: Apache-2.0
#include "core/overflow.hpp"

#include "core/fiber.hpp"
#include "core/log.hpp"
#include "core/sanitizer.hpp"
#include "core/stack.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <csignal>

#include <execinfo.h>
#include <pthread.h>
#include <sys/mman.h>

namespace weft::rt {

namespace {

constexpr std::size_t alternate_stack_size = 64 * 1024;
constexpr int deepest_frames = 12;

/// Runs on the alternate stack. Whatever the fault was, the program dies of it as it would have: the default action is restored
/// and the faulting instruction runs again, or a signal that somebody sent is raised again.
void on_fault(int signal, siginfo_t* info, void*) noexcept {
    const inside_weft inside;
    struct sigaction fallback {};
    fallback.sa_handler = SIG_DFL;
    ::sigaction(signal, &fallback, nullptr);
    const fiber_core* f = this_thread_state.running;
    const bool sent = info->si_code <= 0;
    const stack* s = sent ? nullptr : stack_of_guard(info->si_addr);
    if (s != nullptr && f != nullptr && f->machine.stack_base() == s->base) {
        log_line line;
        line << "stack overflow in fiber " << f->id;
        if (!f->name.empty()) line << " (" << f->name << ")";
        line << ": its stack has " << static_cast<std::uint64_t>(s->size() / 1024) << " KiB; deepest frames:";
        line.write();
        void* frames[deepest_frames + 2];
        const int n = ::backtrace(frames, deepest_frames + 2); // from here on a second fault just kills
        ::backtrace_symbols_fd(frames + (n > 2 ? 2 : 0), n > 2 ? n - 2 : n, 2);
    }
    if (sent) sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), signal);
}

constinit thread_local void* installed __attribute__((tls_model("initial-exec"))) = nullptr; // read in handlers

/// The thread's alternate stack.
struct alternate_stack {
    void* memory = nullptr;
    void install(bool thread_ends) noexcept {
        stack_t now{};
        if (memory == nullptr && set(nullptr, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0) take_over(thread_ends);
    }
    void take_over(bool thread_ends) noexcept;
    static void put_back() noexcept {
        stack_t mine{};
        mine.ss_sp = of_carrier(installed);
        mine.ss_size = alternate_stack_size;
        set(&mine, nullptr);
    }
    /// Past the shim, which would take it for the program's.
    static long set(const stack_t* wanted, stack_t* old) noexcept { return sys::call(SYS_sigaltstack, sys::arg(wanted), sys::arg(old)); }
    void give_back() noexcept {
        // Who ends the process may do so on another kernel thread than its own, which goes on using it.
        if (memory == nullptr || &of_carrier(installed) != &installed) return;
        installed = nullptr;
        stack_t now{};
        if (set(nullptr, &now) == 0 && now.ss_sp == memory) {
            stack_t off{};
            off.ss_flags = SS_DISABLE;
            set(&off, nullptr);
        }
        ::munmap(memory, alternate_stack_size);
        memory = nullptr;
    }
};

constinit thread_local alternate_stack this_threads;

/// Only threads that end have this: to be told of it, libc takes the dynamic loader's lock.
struct at_thread_end {
    bool wanted = false;
    ~at_thread_end() {
        if (wanted) this_threads.give_back();
    }
};
thread_local at_thread_end this_end;

void alternate_stack::take_over(bool thread_ends) noexcept {
    if (memory == nullptr) {
        void* p = ::mmap(nullptr, alternate_stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return;
        installed = memory = p;
        if (thread_ends) this_end.wanted = true;
    }
    put_back();
}

} // namespace

bool is_overflow_stack(const void* begin) noexcept { return begin != nullptr && begin == of_carrier(installed); }

void restore_overflow_stack() noexcept {
    if (of_carrier(installed) != nullptr) alternate_stack::put_back();
}

void take_over_alternate_stack() noexcept { this_threads.take_over(true); }

bool reports_overflow(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == on_fault;
}

void install_overflow_report(bool thread_ends) noexcept {
    if constexpr (sanitizer::asan || sanitizer::tsan) return; // they report it themselves
    this_threads.install(thread_ends);
    const inside_weft inside;
    struct sigaction now {};
    if (::sigaction(SIGSEGV, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL)
        return;
    void* warm[1];
    ::backtrace(warm, 1); // loads the unwinder now rather than in the handler
    struct sigaction mine {};
    mine.sa_sigaction = on_fault;
    mine.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&mine.sa_mask);
    ::sigaction(SIGSEGV, &mine, nullptr);
}

} // namespace weft::rt
