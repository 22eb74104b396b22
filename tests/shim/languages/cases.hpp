// SPDX-License-Identifier: Apache-2.0
// A program of several cases: `--list` names them, `NAME` runs one. What a case prints is what is compared, so it
// prints nothing that may differ between two runs.
#pragma once

#include <cstdio>
#include <cstring>
#include <iterator>

struct named_case {
    const char* name;
    void (*run)();
};

template <std::size_t Count>
int run_case(int argc, char** argv, const named_case (&cases)[Count]) {
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
        for (const auto& c : cases) std::puts(c.name);
        return 0;
    }
    for (const auto& c : cases)
        if (argc == 2 && std::strcmp(argv[1], c.name) == 0) {
            c.run();
            return std::fflush(stdout);
        }
    std::fprintf(stderr, "usage: %s --list | CASE\n", argv[0]);
    return 2;
}
