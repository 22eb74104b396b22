// SPDX-License-Identifier: Apache-2.0
#include <weft/patch.hpp>

#include "core/gate.hpp"
#include "core/real.hpp"

namespace weft {

void patch_all(patch_options options) {
#define WEFT_FAMILY(name, help) shim::gate::switch_family(shim::family::name, options.name);
#include "core/families.def"
#undef WEFT_FAMILY
}

bool is_patched(std::string_view name) noexcept {
#define WEFT_CALL(n, f)                                                                                                \
    if (name == #n) return shim::gate::is_on(shim::family::f);
#include "core/calls.def"
#undef WEFT_CALL
    return false;
}

void* original(std::string_view name) noexcept { return shim::real_by_name(name); }

} // namespace weft
