// SPDX-License-Identifier: Apache-2.0
#pragma once

// `weft check`: whether a program, or a process, can be served, and which of its calls are.

#include "launcher/inline_calls.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace weft::launcher {

enum class verdict : int {
    can_be_served = 0,
    cannot_be_served = 1,
    cannot_be_read = 2,
};

struct check_report {
    struct library {
        std::string name;
        std::string path; // empty: not found
    };
    struct call {
        std::string name;
        std::string family;
        bool served = false;
        std::string excuse;                 // why it is left alone
        std::vector<std::string> importers; // base names
    };
    struct inline_calls {
        std::string object;
        std::vector<inline_call> calls;
    };

    weft::launcher::verdict verdict = verdict::cannot_be_read;
    std::string subject;  // as it was asked for
    std::string program;  // the file that was looked at
    std::string kind;     // what it is
    std::string reason;   // why it cannot be served, or read
    long pid = 0;
    bool has_weft = false; // it is linked with weft, or weft is in the process
    std::vector<library> libraries;
    std::vector<call> calls;   // those that may wait; not served ones first
    std::vector<inline_calls> inline_code;
    std::vector<std::string> notes;
};

/// A path, a name to be found in PATH, or a process id. The program itself is not run: what it loads is asked of the dynamic loader.
check_report check(const std::string& what);

/// For people: the verdict in the first line.
void print_report(const check_report& r);
void print_report_as_json(const check_report& r);

} // namespace weft::launcher
