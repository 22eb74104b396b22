// SPDX-License-Identifier: Apache-2.0
#pragma once

// Signals that the kernel sends for a source that the program has tied to one thread: a timer, a descriptor. The kernel cannot be told
// of a green thread, so the source signals the process, and whoever gets the signal looks here whose it is.

#include "core/signal_receiver.hpp"

#include <sys/types.h>

namespace weft::shim::addressed {

/// A source's thread.
struct owner {
    std::uint64_t fiber = 0; // 0: main's, whatever fiber that is
    pid_t number = 0;
};

/// The thread of that number, if it is one that has signals of its own: false where the kernel knows better.
bool find_thread(pid_t number, owner& out) noexcept;

/// Under `deciding`: that thread; null: it has ended.
signals::receiver* receiver_of(const owner& o) noexcept;

/// Sources of one kind and their threads. Guarded by `deciding`, as it is read in handlers; its memory is pages of its own, which are
/// never given back.
class sources {
public:
    /// In place of an older one of that key. False: no memory.
    bool add(long key, const owner& o) noexcept;
    void remove(long key) noexcept;
    /// Null: there is none.
    [[nodiscard]] const owner* find(long key) const noexcept;
    /// The owner of them all, if they have but one.
    [[nodiscard]] const owner* only() const noexcept;
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

private:
    struct entry {
        entry* next;
        long key;
        owner whose;
    };
    entry* get() noexcept;

    entry* first_ = nullptr;
    entry* unused_ = nullptr;
};

/// Under `deciding`: whether the signal comes from such a source. `to` is then its thread; null: that has ended.
bool find(const siginfo_t& info, signals::receiver*& to) noexcept;

/// Under `deciding`: it is pending there until the thread takes it.
void keep(signals::receiver* to, const siginfo_t& info) noexcept;

/// The calling thread has taken a signal from the kernel which is for another one: it goes there.
bool passed_on(const siginfo_t& info) noexcept;

/// In the child of a fork, which has none of the sources.
void after_fork() noexcept;

// The sources:

/// timer_create(2) and timer_delete(2): the kernel's results. SIGEV_THREAD_ID names the thread.
long create_timer(clockid_t clock, const sigevent* event, int* number) noexcept;
long remove_timer(long number) noexcept;

/// fcntl(2)'s F_SETOWN, F_SETOWN_EX, F_GETOWN and F_GETOWN_EX, as libc returns. F_OWNER_TID names the thread.
bool is_about_owner(int command) noexcept;
int control_owner(int fd, int command, void* argument) noexcept;

} // namespace weft::shim::addressed
