// SPDX-License-Identifier: Apache-2.0
#include "core/options.hpp"

namespace weft::rt {

runtime_options& process_options() noexcept {
    static constinit runtime_options options;
    return options;
}

} // namespace weft::rt
