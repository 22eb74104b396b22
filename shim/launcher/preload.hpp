// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/options_help.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weft::launcher {

/// What the command line asks for, as environment variables.
class settings {
public:
    void set(const option& o, bool on) { variables_[o.variable] = on ? "1" : "0"; }
    void set(const option& o, std::uint64_t value) { variables_[o.variable] = std::to_string(value); }
    [[nodiscard]] const std::map<std::string, std::string>& variables() const { return variables_; }

private:
    std::map<std::string, std::string> variables_;
};

/// Cuts the command line where the program's begins: CLI11 gets weft's own words (last one first, as it wants them), `command` the
/// program and its arguments, untouched.
std::vector<std::string> split_command(int argc, char** argv, std::vector<std::string>& command);

/// Replaces the process by the program with the shim preloaded. Returns only if that fails: 126 (cannot be executed) or 127 (not found).
int run_preloaded(const settings& chosen, const std::vector<std::string>& command);

} // namespace weft::launcher
