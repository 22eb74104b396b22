// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the environment says: WEFT_<OPTION> for each option of options.def, WEFT_NO_<FAMILY> for each family.

#include <cstdint>

namespace weft::shim {

struct shim_options {
#define WEFT_FLAG(name, standard, help) bool name = standard;
#define WEFT_VALUE(name, standard, least, most, unit, help) std::uint64_t name = standard;
#include "core/options.def"
#undef WEFT_VALUE
#undef WEFT_FLAG
    std::uint32_t families_off = 0; // a bit a family
};

/// Reads the environment; a value that makes no sense is named on stderr and the default kept. Allocates nothing.
shim_options read_options() noexcept;

} // namespace weft::shim
