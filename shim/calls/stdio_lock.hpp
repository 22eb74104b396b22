// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who uses a FILE, among fibers. libc's own lock of a FILE is recursive by kernel thread: it keeps kernel threads apart, but lets every
// fiber of its holder's thread in. So a call that may suspend with a FILE in hand, and flockfile, take this lock first: recursive by
// fiber, first come first served, never failed by a kill or a time-out (invariant 7). What neither suspends nor meets a FILE that is held
// takes no lock but libc's.

#include <cstdio>

namespace weft::shim {

class stdio_lock {
public:
    /// One load: nobody holds it (true may be false by now, but for the calling hub's fibers).
    static bool is_free(const FILE* f) noexcept;
    static void take(FILE* f) noexcept;
    static bool try_take(FILE* f) noexcept;
    /// Nothing happens if the caller does not hold it.
    static void give(FILE* f) noexcept;

    /// Numbered in init.cpp.
    static void initialise() noexcept;
};

} // namespace weft::shim
