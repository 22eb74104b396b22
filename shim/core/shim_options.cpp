// SPDX-License-Identifier: Apache-2.0
#include "core/shim_options.hpp"

#include "core/gate.hpp"

#include "core/log.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace weft::shim {

namespace {

/// WEFT_<NAME>, the name in capitals.
const char* environment(const char* prefix, std::string_view name) noexcept {
    char variable[64];
    char* p = variable;
    for (const char* c = prefix; *c != 0; ++c) *p++ = *c;
    for (const char c : name) *p++ = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    *p = 0;
    return std::getenv(variable);
}

bool flag(const char* prefix, std::string_view name, bool standard) noexcept {
    const char* text = environment(prefix, name);
    if (text == nullptr) return standard;
    const std::string_view value(text);
    if (value == "1" || value == "on" || value == "yes" || value == "true") return true;
    if (value == "0" || value == "off" || value == "no" || value == "false" || value.empty()) return false;
    rt::log_line line;
    line << prefix << name << "=" << value << " makes no sense (0 or 1); ignored";
    line.write();
    return standard;
}

std::uint64_t value(const char* prefix, std::string_view name, std::uint64_t standard, std::uint64_t least, std::uint64_t most) noexcept {
    const char* text = environment(prefix, name);
    if (text == nullptr || *text == 0) return standard;
    std::uint64_t number = 0;
    const char* const end = text + std::strlen(text);
    if (const auto [rest, error] = std::from_chars(text, end, number); error == std::errc() && rest == end && number >= least && number <= most)
        return number;
    rt::log_line line;
    line << prefix << name << "=" << std::string_view(text) << " makes no sense (a whole number";
    if (most != UINT64_MAX) line << " from " << least << " to " << most;
    line << "); ignored";
    line.write();
    return standard;
}

} // namespace

shim_options read_options() noexcept {
    shim_options o;
#define WEFT_FLAG(name, standard, help) o.name = flag("WEFT_", #name, standard);
#define WEFT_VALUE(name, standard, least, most, unit, help) o.name = value("WEFT_", #name, standard, least, most);
#include "core/options.def"
#undef WEFT_VALUE
#undef WEFT_FLAG
#define WEFT_FAMILY(name, help)                                                                                        \
    if (flag("WEFT_NO_", #name, false)) o.families_off |= 1U << static_cast<unsigned>(family::name);
#include "core/families.def"
#undef WEFT_FAMILY
    return o;
}

} // namespace weft::shim
