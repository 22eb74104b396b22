// SPDX-License-Identifier: Apache-2.0
#pragma once

// A thread's rights to memory with protection keys (pkeys(7)), which the processor has in a register. From the first key that the program
// allocates on they are kept for each green thread, where fibers are switched; before that nobody has any but those of the process's beginning.

#include <cstdint>

namespace weft::shim::rights {

/// There is a hub now, so switches can be watched.
void threads_begin() noexcept;

/// In the child of fork.
void after_fork() noexcept;

/// A new thread, whose frame that is, has its maker's.
void inherit(char* pointer) noexcept;

/// pkey_alloc(2): the kernel's result.
long allocate(unsigned flags, unsigned access) noexcept;

/// While it lives a handler runs, by a call and not by the kernel, which would give it the rights that a process begins with.
class of_handler {
public:
    of_handler() noexcept;
    of_handler(const of_handler&) = delete;
    of_handler& operator=(const of_handler&) = delete;
    ~of_handler();

private:
    std::uint32_t before_ = 0;
    bool changed_ = false;
};

} // namespace weft::shim::rights
