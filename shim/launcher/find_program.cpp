// SPDX-License-Identifier: Apache-2.0
#include "launcher/find_program.hpp"

#include <cstdlib>
#include <string_view>

#include <unistd.h>

namespace weft::launcher {

std::string find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) return name;
    const char* list = std::getenv("PATH");
    std::string_view rest = list == nullptr ? "/usr/local/bin:/usr/bin:/bin" : list;
    for (;;) {
        const auto colon = rest.find(':');
        const std::string path = std::string(rest.substr(0, colon)) + "/" + name;
        if (::access(path.c_str(), X_OK) == 0) return path;
        if (colon == std::string_view::npos) return name;
        rest.remove_prefix(colon + 1);
    }
}

} // namespace weft::launcher
