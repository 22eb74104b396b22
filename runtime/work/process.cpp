// SPDX-License-Identifier: Apache-2.0
#include <weft/process.hpp>

#include "core/fork.hpp"
#include "core/hub.hpp"
#include "core/registry.hpp"
#include "core/set_aside.hpp"
#include "core/sys.hpp"
#include "work/fork_lock.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <ostream>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weft {

namespace {

// std::cout and std::clog. <iostream> would construct and flush them in programs that have no use for them, also at exit while a FILE is locked.
extern "C" char weft_cout[] __asm__("_ZSt4cout");
extern "C" char weft_clog[] __asm__("_ZSt4clog");

/// A stream that the program has: constructed, so that its first word is a table of functions.
void flush_stream(char* object) noexcept {
    void* functions;
    std::memcpy(&functions, object, sizeof functions);
    if (functions == nullptr) return;
    try {
        reinterpret_cast<std::ostream*>(object)->flush();
    } catch (...) {
    }
}

void flush_output() noexcept {
    flush_stream(weft_cout);
    flush_stream(weft_clog);
    std::fflush(stdout);
    std::fflush(stderr);
}

// --- What the end of this process sees to ---

struct living {
    std::shared_ptr<rt::process_record> record;
    living* next;
};

constinit rt::fork_lock living_lock; // guards what follows
constinit living* all_living = nullptr;
constinit unsigned living_generation = 0;

void drop(living* l) noexcept {
    while (l != nullptr) delete std::exchange(l, l->next);
}

/// The whole list, taken out, for the caller to put back what it keeps. The parent's is dropped.
living* take_all() noexcept {
    living_lock.lock();
    living* all = std::exchange(all_living, nullptr);
    const bool inherited = std::exchange(living_generation, rt::fork_generation()) != rt::fork_generation();
    living_lock.unlock();
    if (inherited) drop(std::exchange(all, nullptr));
    return all;
}

void put_back(living* l) noexcept {
    const std::lock_guard hold(living_lock);
    l->next = std::exchange(all_living, l);
}

void at_exit() noexcept {
    living* const all = take_all();
    for (living* l = all; l != nullptr; l = l->next) {
        if (!l->record->daemon.load(std::memory_order_relaxed)) continue;
        try {
            l->record->child->send_signal(l->record->end_signal.load(std::memory_order_relaxed));
        } catch (const std::system_error&) {
        }
    }
    // The fibers of this process run no more: so neither does the hub.
    for (living* l = all; l != nullptr; l = l->next) {
        siginfo_t info{};
        while (!l->record->child->ended() &&
               rt::sys::call(SYS_waitid, P_PID, l->record->child->pid(), rt::sys::arg(&info), WEXITED | WNOWAIT) == -EINTR) {}
    }
    drop(all);
}

void add_living(const std::shared_ptr<rt::process_record>& record) {
    static const bool registered = std::atexit([] { at_exit(); }) == 0;
    (void)registered;
    auto added = std::make_unique<living>(living{record, nullptr});
    for (living* l = take_all(); l != nullptr;) {
        living* const next = l->next;
        if (l->record->child->ended()) delete l;
        else put_back(l);
        l = next;
    }
    put_back(added.release());
}

// --- The child ---

/// The child begins when its parent has its pidfd: whoever reaps every child (or has them ignored) could be faster with a short-lived one.
class starting_gate {
public:
    starting_gate() noexcept {
        if (rt::sys::call(SYS_pipe2, rt::sys::arg(ends_), O_CLOEXEC) != 0) ends_[0] = ends_[1] = -1; // then it is a race
    }
    starting_gate(const starting_gate&) = delete;
    starting_gate& operator=(const starting_gate&) = delete;
    ~starting_gate() { close(0), close(1); } // in the parent; as a fork of another thread may have the other end too, that is not enough
    void open() noexcept {
        const char go = 0;
        if (ends_[1] >= 0) rt::sys::call(SYS_write, ends_[1], rt::sys::arg(&go), 1);
    }
    /// In the child. The end of the parent opens it, too.
    void pass() noexcept {
        close(1);
        char go = 0;
        while (ends_[0] >= 0 && rt::sys::call(SYS_read, ends_[0], rt::sys::arg(&go), 1) == -EINTR) {}
        close(0);
    }

private:
    void close(int which) noexcept {
        if (const int fd = std::exchange(ends_[which], -1); fd >= 0) rt::sys::close(fd);
    }
    int ends_[2];
};

/// Scopes of the fiber that called fork, and what it was to be interrupted by, are the parent's.
void forget_scopes() noexcept {
    rt::parkable& me = rt::current_parkable();
    while (rt::timeout_scope* s = me.scopes) {
        me.scopes = s->outer;
        if (me.is_fiber()) static_cast<rt::fiber_core&>(me).owner->stop_timer(s->expiry);
    }
}

int status_of(const std::string& name, std::size_t stack_size, int (*run)(void*), void* what) noexcept {
    try {
        const auto function = spawn({.name = name, .stack_size = stack_size}, run, what);
        const rt::set_aside until_its_end; // in the function wait() is about its own fibers
        return function.get();
    } catch (const fiber_killed&) {
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "weft: process '%s' (%d): %s\n", name.c_str(), static_cast<int>(::getpid()), e.what());
    } catch (...) {
        std::fprintf(stderr, "weft: process '%s' (%d): an exception\n", name.c_str(), static_cast<int>(::getpid()));
    }
    return 1;
}

} // namespace

std::shared_ptr<rt::process_record> rt::fork_process(std::string_view name, bool daemon, std::size_t stack_size,
                                                     int (*run)(void*), void* what) {
    interruption_point();
    watch_forks();
    auto record = std::make_shared<process_record>();
    record->name = name;
    record->daemon = daemon;
    flush_output(); // else it would come out of both
    starting_gate gate;
    const pid_t pid = ::fork();
    if (pid < 0) throw std::system_error(errno, std::generic_category(), "weft: fork");
    if (record->name.empty()) record->name = "process-" + std::to_string(pid == 0 ? ::getpid() : pid);
    if (pid == 0) {
        gate.pass();
        forget_scopes();
        const int status = status_of(record->name, stack_size, run, what);
        flush_output();
        ::_exit(status);
    }
    record->child = rt::child::adopt(pid);
    gate.open();
    add_living(record);
    return record;
}

bool process::terminate() const { return record_->child->send_signal(SIGTERM); }
bool process::kill() const { return record_->child->send_signal(SIGKILL); }

} // namespace weft
