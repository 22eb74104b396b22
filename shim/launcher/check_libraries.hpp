// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/check.hpp"

#include <string>
#include <vector>

namespace weft::launcher {

/// What the dynamic loader would load for the program, by its own rules (RUNPATH, RPATH, $ORIGIN, the cache), in its order. The loader
/// lists it; nothing of the program runs. False: it could not be asked.
bool list_libraries(const std::string& loader, const std::string& program, std::vector<check_report::library>& into);

/// The objects that a process has mapped, its program first.
std::vector<check_report::library> mapped_objects(long pid);

/// The file's bytes; false with errno.
bool read_file(const std::string& path, std::vector<unsigned char>& into);

} // namespace weft::launcher
