// SPDX-License-Identifier: Apache-2.0
// The ways out of a process that run no exit handlers: only the statistics are to know.
#include "core/real.hpp"
#include "core/stats.hpp"

#include <weft/export.hpp>

#include <cstdlib>

extern "C" {

WEFT_API void _exit(int status) {
    weft::shim::stats::at_end();
    weft::shim::real()._exit(status);
    __builtin_unreachable();
}
WEFT_API void _Exit(int status) noexcept {
    weft::shim::stats::at_end();
    weft::shim::real()._Exit(status);
    __builtin_unreachable();
}

} // extern "C"
