// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace weft::launcher {

/// Whether that is the name of a sanitizer's runtime, which has functions of libc's names and calls the next ones by them.
bool is_sanitizer_runtime(std::string_view library);

/// The one that a program is built with, by the name that it needs it by; empty: none, or it cannot be told. The name is looked for as execvp does.
std::string sanitizer_runtime_of(const std::string& program);

} // namespace weft::launcher
