// SPDX-License-Identifier: Apache-2.0
#pragma once

// Another kernel thread of this process that stands still for a moment, so that its stack can be read.
//
// A child that shares our memory traces it (ptrace): nothing runs in the thread, and a system call that it sleeps in goes on afterwards. Where that is
// refused (a sandbox, a debugger that is there already), a thread that computes is stopped by a signal whose handler waits; one that sleeps is left alone, since a signal
// could end its call. While it stands still, the caller may take no lock that it could hold, so it must not allocate.

#include "inspect/backtrace.hpp"

#include <memory>

namespace weft::rt {

class stopped_thread {
public:
    /// Of which thread; the caller runs with all signals blocked and as weft itself.
    explicit stopped_thread(int tid) noexcept;
    stopped_thread(const stopped_thread&) = delete;
    stopped_thread& operator=(const stopped_thread&) = delete;
    /// Lets it go on.
    ~stopped_thread();

    /// Null: it stands still. Else why not.
    [[nodiscard]] const char* failure() const noexcept { return failure_; }
    [[nodiscard]] const registers& where() const noexcept { return registers_; }

private:
    bool trace(int tid) noexcept;
    bool interrupt(int tid) noexcept;

    const char* failure_ = nullptr;
    registers registers_;
    bool traced_ = false;
    bool interrupted_ = false;
    int child_ = 0;
};

} // namespace weft::rt
