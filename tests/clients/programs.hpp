// SPDX-License-Identifier: Apache-2.0
#pragma once

// Client programs of the same servers, bare and preloaded: they must print the same and end alike.

#include "server.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

namespace clients_test {

/// What a shell script prints, and its exit status. $WEFT before a command of it is `weft`; `always`: even where a single fiber would be
/// left alone.
inline std::string output_of(const std::string& script, const std::string& weft, bool always) {
    std::string text = "exec 2>&1; PATH=$PATH:/usr/lib/postgresql/15/bin; WEFT='";
    text.append(weft).append("'; ").append(always ? "WEFT_ALWAYS_SERVE=1; export WEFT_ALWAYS_SERVE; " : "");
    text.append("{\n").append(script).append("\n}; echo status $?");
    std::FILE* pipe = ::popen(text.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("popen");
    std::string out;
    char some[4096];
    for (std::size_t n = 0; (n = std::fread(some, 1, sizeof some, pipe)) > 0;) out.append(some, n);
    ::pclose(pipe);
    return out;
}

/// Runs the script bare, and in each of the ways a program can be served. Its commands must be bounded in time by themselves, and find each
/// time what they found the first time.
inline void same_under_weft(const std::string& script) {
    const std::string expected = output_of(script, "", false);
    INFO(script);
    CHECK(expected.ends_with("status 0\n"));
    if (!expected.ends_with("status 0\n")) WARN(expected);
    for (const auto& [how, always] : {std::pair{" run", false}, {" run", true}, {" run --trap", true}}) {
        std::string weft = CLIENTS_WEFT;
        weft.append(how);
        INFO((always ? "served: " : "") << weft);
        CHECK(output_of(script, weft, always) == expected);
    }
}

} // namespace clients_test
