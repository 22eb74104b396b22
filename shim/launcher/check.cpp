// SPDX-License-Identifier: Apache-2.0
#include "launcher/check.hpp"

#include "launcher/check_libraries.hpp"
#include "launcher/find_program.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <map>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace weft::launcher {

namespace {

constexpr std::string_view glibc_loader = "ld-linux-x86-64.so.2";
constexpr int most_interpreters = 5; // a script's interpreter may be a script

struct known_call {
    std::string_view family;
    std::string_view excuse;
};

/// may_wait.def: what is worth a line.
const std::map<std::string_view, known_call>& calls_that_wait() {
    static const std::map<std::string_view, known_call> all = {
#define WEFT_MAY_WAIT(name, family, excuse) {#name, {#family, excuse}},
#define WEFT_PER_THREAD(name, what, how)
#include "core/may_wait.def"
#undef WEFT_MAY_WAIT
#undef WEFT_PER_THREAD
    };
    return all;
}

struct thread_state {
    std::string_view what;
    bool is_kept; // and not shared by the green threads of a kernel thread
};

const std::map<std::string_view, thread_state>& state_of_threads() {
    static const std::map<std::string_view, thread_state> all = {
#define WEFT_MAY_WAIT(name, family, excuse)
#define WEFT_PER_THREAD(name, what, how) {#name, {what, std::string_view(#how) == "kept"}},
#include "core/may_wait.def"
#undef WEFT_MAY_WAIT
#undef WEFT_PER_THREAD
    };
    return all;
}

/// calls.def: what the shim intercepts, and in which family.
const std::map<std::string_view, std::string_view>& intercepted() {
    static const std::map<std::string_view, std::string_view> all = {
#define WEFT_CALL(name, family) {#name, #family},
#include "core/calls.def"
#undef WEFT_CALL
    };
    return all;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// libc and what belongs to it: what waits inside is what its callers import.
bool is_libc(const std::string& name) {
    constexpr std::string_view parts[] = {"libc.so", "ld-linux", "libpthread.so", "libdl.so", "librt.so", "libm.so", "libresolv.so",
                                          "libnss_", "libanl.so", "libutil.so", "libmvec.so", "libc_malloc_debug.so"};
    return std::any_of(std::begin(parts), std::end(parts), [&](std::string_view p) { return name.starts_with(p); });
}

bool is_weft(const std::string& name) { return name.starts_with("libweft"); }

/// A file here, or one that execvp would find.
std::string program_file(const std::string& name) { return ::access(name.c_str(), F_OK) == 0 ? name : find_program(name); }

/// The words of a script's first line.
std::vector<std::string> interpreter_of(const std::vector<unsigned char>& bytes) {
    std::vector<std::string> words(1);
    for (std::size_t i = 2; i < bytes.size() && i < 256 && bytes[i] != '\n'; ++i) {
        const char c = static_cast<char>(bytes[i]);
        if (c != ' ' && c != '\t') words.back() += c;
        else if (!words.back().empty()) words.emplace_back();
    }
    if (words.back().empty()) words.pop_back();
    return words;
}

std::string name_of_machine(unsigned machine) {
    switch (machine) {
    case EM_386: return "i386";
    case EM_AARCH64: return "aarch64";
    case EM_ARM: return "arm";
    case EM_RISCV: return "risc-v";
    case EM_PPC64: return "ppc64";
    case EM_S390: return "s390x";
    case EM_X86_64: return "x86-64";
    default: return "machine " + std::to_string(machine);
    }
}

bool is_go(const elf_file& e) {
    return e.has_section(".note.go.buildid") || e.has_section(".gopclntab") || e.has_section(".go.buildinfo") || e.has_note("Go");
}

/// Why the loader would not preload anything into a program of that file, or an empty text.
std::string privilege_of(const std::string& path) {
    struct stat s{};
    if (::stat(path.c_str(), &s) == 0 && (s.st_mode & (S_ISUID | S_ISGID)) != 0)
        return (s.st_mode & S_ISUID) != 0 ? "it is setuid" : "it is setgid";
    if (::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) return "it has file capabilities";
    return {};
}

class examination {
public:
    explicit examination(check_report& r) : r_(r) {}

    void run(const std::string& path) {
        std::string at = path;
        for (int depth = 0; depth < most_interpreters; ++depth) {
            r_.program = at;
            std::vector<unsigned char> bytes;
            if (!read_file(at, bytes)) {
                r_.verdict = verdict::cannot_be_read;
                r_.reason = std::strerror(errno);
                return;
            }
            if (bytes.size() > 2 && bytes[0] == '#' && bytes[1] == '!') {
                const auto words = interpreter_of(bytes);
                if (words.empty()) return refuse("script", "its first line names no interpreter");
                std::string next = words[0];
                if (base_name(next) == "env" && words.size() > 1) {
                    const auto word = std::find_if(words.begin() + 1, words.end(), [](const std::string& w) {
                        return !w.starts_with("-") && w.find('=') == std::string::npos;
                    });
                    if (word != words.end()) next = program_file(*word);
                }
                r_.notes.push_back("a script, run by " + next);
                at = next;
                continue;
            }
            look_at_program(bytes);
            return;
        }
        refuse("script", "its interpreters follow one another without end");
    }

    void run_process(long pid) {
        const std::string process = "/proc/" + std::to_string(pid);
        char exe[PATH_MAX];
        const ssize_t n = ::readlink((process + "/exe").c_str(), exe, sizeof exe - 1);
        if (n < 0) {
            r_.reason = errno == ENOENT ? "there is no such process, or it is a kernel thread" : std::strerror(errno);
            return;
        }
        const auto objects = mapped_objects(pid);
        std::vector<unsigned char> bytes;
        r_.program = std::string(exe, static_cast<std::size_t>(n));
        if (objects.empty() || !read_file(process + "/exe", bytes)) {
            r_.reason = std::strerror(errno == 0 ? EACCES : errno);
            return;
        }
        root_ = process + "/root";
        const elf_file e(bytes);
        if (!classify(e)) return;
        r_.verdict = verdict::can_be_served;
        for (const auto& o : objects)
            if (o.path != r_.program) r_.libraries.push_back(o);
        look_into(base_name(r_.program), e);
        look_into_libraries();
    }

private:
    void refuse(std::string kind, std::string reason) {
        r_.verdict = verdict::cannot_be_served;
        r_.kind = std::move(kind);
        r_.reason = std::move(reason);
    }

    /// False: it cannot be served, and why is said.
    bool classify(const elf_file& e) {
        if (!e.is_elf()) return refuse("no program", "it is neither an ELF file nor a script"), false;
        if (!e.is_little_endian() || e.machine() != EM_X86_64 || !e.is_64_bit()) {
            const std::string kind = e.machine() == EM_X86_64 ? "x32" : name_of_machine(e.machine());
            return refuse("program for " + kind, "weft is for x86-64 programs of 64 bits"), false;
        }
        if (e.type() != ET_EXEC && e.type() != ET_DYN) return refuse("ELF file", "it is an object or a core file, and no program"), false;
        if (is_go(e)) return refuse("Go program", "Go makes its system calls by instruction and schedules by itself, past libc"), false;
        const std::string loader(e.interpreter());
        if (loader.empty()) {
            if (e.type() == ET_DYN && !e.is_position_independent_program())
                return refuse("shared library", "it is no program; check the one that loads it"), false;
            return refuse(e.type() == ET_DYN ? "static program (pie)" : "static program",
                          "no dynamic loader runs, so nothing can be preloaded"), false;
        }
        if (base_name(loader).starts_with("ld-musl"))
            return refuse("program for musl", "weft is for glibc; its loader is " + loader), false;
        if (base_name(loader) != glibc_loader)
            return refuse("program for another loader",
                          "weft is for glibc's " + std::string(glibc_loader) + "; its loader is " + loader), false;
        r_.kind = "dynamic, x86-64, glibc";
        return true;
    }

    void look_at_program(const std::vector<unsigned char>& bytes) {
        const elf_file e(bytes);
        if (!classify(e)) return;
        const std::string privilege = privilege_of(r_.program);
        if (!privilege.empty()) return refuse("privileged program", privilege + ", so the dynamic loader ignores LD_PRELOAD");
        r_.verdict = verdict::can_be_served;
        if (!list_libraries(std::string(e.interpreter()), r_.program, r_.libraries)) {
            r_.notes.push_back("the dynamic loader could not list its libraries; only the program itself was looked at");
            for (const std::string_view name : e.needed()) r_.libraries.push_back({std::string(name), {}});
        }
        look_into(base_name(r_.program), e);
        look_into_libraries();
    }

    void look_into_libraries() {
        std::string missing;
        for (const auto& l : r_.libraries) {
            if (is_weft(l.name)) r_.has_weft = true;
            if (l.path.empty()) missing += (missing.empty() ? "" : ", ") + l.name;
            if (l.path.empty() || is_libc(l.name) || is_weft(l.name)) continue;
            std::vector<unsigned char> bytes;
            if (!read_file(root_ + l.path, bytes)) {
                if (r_.pid == 0 || l.path.ends_with(".so") || l.path.find(".so.") != std::string::npos)
                    r_.notes.push_back("could not be read: " + l.path);
                continue;
            }
            if (const elf_file e(bytes); e.is_64_bit()) look_into(l.name, e);
        }
        if (!missing.empty()) r_.notes.push_back("not found: " + missing);
        finish();
    }

    void look_into(const std::string& name, const elf_file& e) {
        for (const std::string_view import : e.imports()) {
            if (import == "dlopen" || import == "dlmopen") loads_more_ += (loads_more_.empty() ? "" : ", ") + name;
            if (const auto state = state_of_threads().find(import); state != state_of_threads().end())
                r_.notes.push_back(std::string(import) + " (in " + name + "): of a green thread, " + std::string(state->second.what) +
                                   (state->second.is_kept ? " is kept and reported, and nothing acts on it"
                                                          : " belongs to the whole kernel thread, with all that it carries"));
            const auto known = calls_that_wait().find(import);
            if (known == calls_that_wait().end()) continue;
            auto& c = calls_[std::string(import)];
            if (c.name.empty()) {
                const auto served = intercepted().find(import);
                c.name = import;
                c.served = served != intercepted().end();
                c.family = c.served ? served->second : known->second.family;
                if (!c.served) c.excuse = known->second.excuse;
            }
            c.importers.push_back(name);
        }
        if (auto found = find_inline_calls(e); !found.empty()) r_.inline_code.push_back({name, std::move(found)});
    }

    void finish() {
        for (auto& [name, c] : calls_) r_.calls.push_back(std::move(c));
        auto rank = [](const check_report::call& c) { return c.served ? 2 : c.excuse.empty() ? 0 : 1; };
        std::stable_sort(r_.calls.begin(), r_.calls.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
        if (!loads_more_.empty()) r_.notes.push_back("loads more at run time (dlopen), which is not looked at here: " + loads_more_);
    }

    check_report& r_;
    std::string root_;
    std::string loads_more_;
    std::map<std::string, check_report::call> calls_;
};

/// The whole text as a number, or 0.
long number_of(const std::string& text) {
    char* end = nullptr;
    errno = 0;
    const long n = std::strtol(text.c_str(), &end, 10);
    return text.empty() || *end != 0 || errno != 0 || text[0] == '+' || text[0] == '-' ? 0 : n;
}

} // namespace

check_report check(const std::string& what) {
    check_report r;
    r.subject = what;
    examination e(r);
    if (const long pid = number_of(what); pid > 0 && ::access(what.c_str(), F_OK) != 0) {
        r.pid = pid;
        e.run_process(pid);
    } else {
        e.run(program_file(what));
    }
    return r;
}

} // namespace weft::launcher
