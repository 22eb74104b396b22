// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace weft::launcher {

/// Where execvp would find it.
std::string find_program(const std::string& name);

} // namespace weft::launcher
