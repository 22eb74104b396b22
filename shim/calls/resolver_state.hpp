// SPDX-License-Identifier: Apache-2.0
#pragma once

// libc keeps what the resolver is told (resolv.conf, and what the program sets in _res) for each kernel thread. Look-ups that weft makes
// on another thread go by the state of the thread that asked.

#include <resolv.h>

namespace weft::shim::resolver {

using state = struct __res_state;

/// The calling kernel thread's, as libc would find it at the begin of a call: with what resolv.conf says now, if the program has not set
/// it.
state& current_state() noexcept;
/// A whole copy, whose domains lie in its own buffer.
void copy(state& to, const state& from) noexcept;
/// What a program may set, into a state that was initialised like any other.
void take_over(state& own, const state& theirs) noexcept;

/// While it lives, the calling kernel thread resolves by another one's state.
class borrowed_state {
public:
    explicit borrowed_state(const state& theirs) noexcept;
    borrowed_state(const borrowed_state&) = delete;
    borrowed_state& operator=(const borrowed_state&) = delete;
    ~borrowed_state();

private:
    state* changed_ = nullptr; // null: there was no difference
    state before_;
};

} // namespace weft::shim::resolver
