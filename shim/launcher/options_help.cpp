// SPDX-License-Identifier: Apache-2.0
#include "launcher/options_help.hpp"

#include <cctype>
#include <cstdio>

namespace weft::launcher {

namespace {

std::string variable_of(const std::string& prefix, std::string name) {
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return prefix + name;
}

std::string option_of(std::string name) {
    for (char& c : name)
        if (c == '_') c = '-';
    return name;
}

} // namespace

const std::vector<option>& options() {
    static const std::vector<option> all = {
#define WEFT_FLAG(name, standard, help) {option_of(#name), variable_of("WEFT_", #name), standard, help, {}, {}},
#define WEFT_VALUE(name, standard, least, most, unit, help) \
    {option_of(#name), variable_of("WEFT_", #name), false, help, unit, #standard, least, most},
#include "core/options.def"
#undef WEFT_VALUE
#undef WEFT_FLAG
    };
    return all;
}

const std::vector<option>& families() {
    static const std::vector<option> all = {
#define WEFT_FAMILY(name, help) {#name, variable_of("WEFT_NO_", #name), false, help, {}, {}},
#include "core/families.def"
#undef WEFT_FAMILY
    };
    return all;
}

void print_options() {
    std::printf("%-20s %-20s %-8s %s\n", "option", "environment", "default", "meaning");
    for (const option& o : options()) {
        const bool takes_value = !o.unit.empty();
        const std::string spelling = (o.standard ? "--[no-]" : "--") + o.name + (takes_value ? " N" : "");
        const std::string standard = takes_value ? o.value : o.standard ? "1" : "0";
        const std::string unit = takes_value ? " (in " + o.unit + ")" : "";
        std::printf("%-20s %-20s %-8s %s%s\n", spelling.c_str(), o.variable.c_str(), standard.c_str(), o.help.c_str(), unit.c_str());
    }
    for (const option& f : families())
        std::printf("%-20s %-20s %-8s leave alone: %s\n", ("--no-" + f.name).c_str(), f.variable.c_str(), "0", f.help.c_str());
    std::printf("\nSwitches are 1 or 0 in the environment; N is a whole number. The command line wins over the environment.\n");
}

} // namespace weft::launcher
