// SPDX-License-Identifier: Apache-2.0
// The environment that the shim reads, the command line that the launcher cuts, and the plan of faults: any bytes, no harm. The first
// byte says which; the rest are words, with a zero byte or a newline between them.
#include "core/shim_options.hpp"
#include "fault_spec.hpp"
#include "launcher/preload.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

std::vector<std::string> words_of(const char* data, std::size_t size) {
    std::vector<std::string> words(1);
    for (std::size_t i = 0; i < size; ++i) {
        if (data[i] == 0 || data[i] == '\n') words.emplace_back();
        else words.back() += data[i];
    }
    return words;
}

void environment(const std::vector<std::string>& words) {
    static const char* const names[] = {
#define WEFT_FLAG(name, standard, help) "WEFT_" #name,
#define WEFT_VALUE(name, standard, least, most, unit, help) "WEFT_" #name,
#include "core/options.def"
#undef WEFT_FLAG
#undef WEFT_VALUE
#define WEFT_FAMILY(name, help) "WEFT_NO_" #name,
#include "core/families.def"
#undef WEFT_FAMILY
    };
    std::size_t i = 0;
    for (const char* name : names) {
        std::string upper(name);
        for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        if (i < words.size()) ::setenv(upper.c_str(), words[i++].c_str(), 1);
        else ::unsetenv(upper.c_str());
    }
    const weft::shim::shim_options o = weft::shim::read_options();
    const char* verbose = std::getenv("WEFT_VERBOSE");
    if (verbose != nullptr && std::strcmp(verbose, "1") == 0 && !o.verbose) std::abort();
    if (verbose == nullptr && o.verbose) std::abort();
}

void command_line(std::vector<std::string>& words) {
    std::vector<char*> arguments{const_cast<char*>("weft")};
    for (std::string& w : words) arguments.push_back(w.data());
    arguments.push_back(nullptr);
    std::vector<std::string> command;
    const auto own = weft::launcher::split_command(static_cast<int>(words.size()) + 1, arguments.data(), command);
    // Nothing is lost but a "--", and the program's words are the last ones.
    if (own.size() + command.size() > words.size() || own.size() + command.size() + 1 < words.size()) std::abort();
    for (std::size_t i = 0; i < command.size(); ++i)
        if (command[command.size() - 1 - i] != words[words.size() - 1 - i]) std::abort();
}

void faults(std::string_view text) {
    weft_fault::fault f;
    for (std::size_t before = text.size() + 1; weft_fault::next_fault(text, f, [](std::string_view n) { return n == "EIO" ? 5 : 0; });) {
        if (text.size() >= before || f.name.empty() || f.first == 0 || f.error != 5) std::abort();
        before = text.size();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size == 0) return 0;
    const auto* text = reinterpret_cast<const char*>(data) + 1;
    auto words = words_of(text, size - 1);
    switch (data[0] % 3) {
    case 0: environment(words); break;
    case 1: command_line(words); break;
    default: faults({text, size - 1}); break;
    }
    return 0;
}
