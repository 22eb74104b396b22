// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weft::launcher {

/// An entry of the tables, as the command line shows it.
struct option {
    std::string name;     // without the leading hyphens
    std::string variable; // WEFT_…
    bool standard;        // the default of a switch
    std::string help;
    std::string unit{};   // of one that takes a whole number; empty: a switch
    std::string value{};  // its default
    std::uint64_t least = 0, most = 0;
};

/// The switches of options.def.
const std::vector<option>& options();
/// The families of families.def: `--no-<name>` turns one off.
const std::vector<option>& families();
/// The table of `weft --help-options`.
void print_options();

} // namespace weft::launcher
