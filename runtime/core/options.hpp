// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the process was started with, as far as the runtime must know. The shim fills it in; a linked program keeps the defaults.

#include <weft/export.hpp>

#include <cstddef>

namespace weft::rt {

struct runtime_options {
    bool preloaded = false; // the program was never told: no deadlock_error
    bool verbose = false;
};

WEFT_API runtime_options& process_options() noexcept;

} // namespace weft::rt
