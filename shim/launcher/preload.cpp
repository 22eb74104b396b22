// SPDX-License-Identifier: Apache-2.0
#include "launcher/preload.hpp"

#include "launcher/sanitizer_runtime.hpp"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

namespace weft::launcher {

namespace {

constexpr int cannot_execute = 126;
constexpr int not_found = 127;

/// The directory of this program.
std::string own_directory() {
    char path[PATH_MAX];
    const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
    std::string self(path, n > 0 ? static_cast<std::size_t>(n) : 0);
    return self.substr(0, self.rfind('/') + 1);
}

/// The shim lies where the build or the installation put it, seen from this program.
std::string shim_path() {
    const std::string path = own_directory() + WEFT_LIB_FROM_BIN + "/libweft-shim.so";
    char resolved[PATH_MAX];
    return ::realpath(path.c_str(), resolved) == nullptr ? std::string() : path;
}

/// A sanitizer's runtime wants to be the first: its functions then call the shim's. Where the program needs one, the shim takes it out of the list again
/// (core/init.cpp), for children are none of its business. Theirs comes after the shim, which it must not mind.
void set_preload(const std::string& shim, const std::string& program) {
    const char* const before = std::getenv("LD_PRELOAD");
    std::string first, rest = before == nullptr ? "" : before;
    for (;;) { // the user's own
        const auto begin = rest.find_first_not_of(" :"), end = rest.find_first_of(" :", begin);
        if (begin == std::string::npos || !is_sanitizer_runtime(rest.substr(begin, end - begin))) break;
        first += rest.substr(begin, end - begin) + ":";
        rest = end == std::string::npos ? "" : rest.substr(end);
    }
    if (first.empty()) {
        if (const std::string needed = sanitizer_runtime_of(program); !needed.empty()) {
            first = needed + ":";
            ::setenv("WEFT_BEFORE_SHIM", first.c_str(), 1);
        }
    }
    const std::string list = first + shim + (rest.empty() ? "" : ":" + rest);
    ::setenv("LD_PRELOAD", list.c_str(), 1);
    const char* const options = std::getenv("ASAN_OPTIONS");
    const std::string all = std::string("verify_asan_link_order=0") + (options == nullptr ? "" : std::string(":") + options);
    if (options == nullptr || std::strstr(options, "verify_asan_link_order") == nullptr) ::setenv("ASAN_OPTIONS", all.c_str(), 1);
}

bool takes_all_the_rest(const std::string& word) { return word == "--"; }

/// `--name N`, where N is a word of its own.
bool takes_next_word(const std::string& word) {
    for (const option& o : options())
        if (!o.unit.empty() && word == "--" + o.name) return true;
    return false;
}

} // namespace

std::vector<std::string> split_command(int argc, char** argv, std::vector<std::string>& command) {
    std::vector<std::string> own;
    int i = 1;
    bool run = false;
    bool named = false; // a command was
    for (; i < argc; ++i) {
        const std::string word = argv[i];
        if (run && takes_all_the_rest(word)) {
            ++i;
            break;
        }
        if (run && (word.empty() || word[0] != '-')) break;
        own.push_back(word);
        if (run && takes_next_word(word) && i + 1 < argc) own.push_back(argv[++i]);
        if (!named && word == "run") run = true;
        if (word.empty() || word[0] != '-') named = true;
    }
    command.assign(argv + i, argv + argc);
    return {own.rbegin(), own.rend()};
}

int run_preloaded(const settings& chosen, const std::vector<std::string>& command) {
    const std::string shim = shim_path();
    if (shim.empty()) {
        std::fprintf(stderr, "weft run: %s%s/libweft-shim.so is missing: is weft installed whole?\n",
                     own_directory().c_str(), WEFT_LIB_FROM_BIN);
        return not_found;
    }
    if (shim.find_first_of(" :") != std::string::npos) {
        // The dynamic linker separates entries of LD_PRELOAD by both and knows no quotes.
        std::fprintf(stderr, "weft run: weft lies in a directory whose name has a space or a colon, which LD_PRELOAD cannot say: %s\n",
                     shim.c_str());
        return cannot_execute;
    }
    set_preload(shim, command[0]);
    for (const auto& [name, value] : chosen.variables()) ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    ::execvp(words[0], words.data());
    const int error = errno;
    std::fprintf(stderr, "weft run: %s: %s\n", words[0], std::strerror(error));
    return error == ENOENT ? not_found : cannot_execute;
}

} // namespace weft::launcher
