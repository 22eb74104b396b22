// SPDX-License-Identifier: Apache-2.0
// A library that lies between weft's and libc, so that real().x is found here: it makes the n-th call of a function fail
// (fault_spec.hpp). Preloaded behind the shim, or linked behind it. Counting begins when the program calls weft_fault_begin.
//
// Every name is the same few instructions: ask whether this call fails, and go on into libc with the registers as they were.
// Compiled for general registers only, so that those that carry floating-point arguments stay as they were, too.
#include "fault_spec.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace {

enum class how : std::uint8_t { minus_one, null, mapping, number, bad_alloc };

struct entry {
    const char* name;
    bool own;
    how fails;
};

/// How a call of calls.def says that it failed.
constexpr how how_of(std::string_view name) {
    for (const std::string_view n : {"fopen", "fopen64", "freopen", "freopen64", "fdopen", "popen", "_IO_popen", "fgets", "__fgets_chk",
                                     "getpwnam", "getpwuid", "getgrnam", "getgrgid", "gethostbyname", "gethostbyname2", "gethostbyaddr",
                                     "getpass"})
        if (name == n) return how::null;
    for (const std::string_view n : {"clock_nanosleep", "posix_spawn", "posix_spawnp", "sigwait"})
        if (name == n) return how::number;
    return name.starts_with("pthread_") ? how::number : how::minus_one;
}

constexpr entry entries[] = {
#define WEFT_CALL(name, family) {#name, false, how_of(#name)},
#include "core/calls.def"
#undef WEFT_CALL
// One that calls.def names already is found there.
#define WEFT_FAULT_OWN(name, fails) {#name, true, how::fails},
#include "fault_names.def"
#undef WEFT_FAULT_OWN
};
constexpr unsigned entry_count = sizeof entries / sizeof entries[0];

struct plan {
    bool any = false;
    weft_fault::fault what;
    unsigned long calls = 0;
};

plan plans[entry_count];
bool begun = false;
int log_fd = -1;

struct range {
    std::uintptr_t begin, end;
};
range weft_code[8];
unsigned weft_objects = 0;
range libev_code{};

long raw(long n, long a, long b, long c, long d = 0) noexcept {
    long result = n;
    register long r10 asm("r10") = d;
    asm volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

void say(const char* text) noexcept {
    raw(SYS_write, log_fd >= 0 ? log_fd : 2, reinterpret_cast<long>(text), static_cast<long>(std::strlen(text)));
}

bool is_weft(std::uintptr_t address) noexcept {
    for (unsigned i = 0; i < weft_objects; ++i)
        if (address >= weft_code[i].begin && address < weft_code[i].end) return true;
    return false;
}

/// libev waits for its descriptors: what that cannot say, it does not survive.
bool is_libev(unsigned i, std::uintptr_t caller) noexcept {
    const bool waits = std::strcmp(entries[i].name, "epoll_wait") == 0 || std::strcmp(entries[i].name, "epoll_pwait") == 0;
    return waits && caller >= libev_code.begin && caller < libev_code.end;
}

int number_of(std::string_view name) noexcept {
    for (int e = 1; e < 134; ++e) {
        const char* known = ::strerrorname_np(e);
        if (known != nullptr && name == known) return e;
    }
    return 0;
}

} // namespace

extern "C" {

[[gnu::visibility("hidden")]] void* weft_fault_real[entry_count] = {};

[[gnu::visibility("hidden")]] void weft_fault_resolve(unsigned i) {
    weft_fault_real[i] = ::dlsym(RTLD_NEXT, entries[i].name);
    if (weft_fault_real[i] == nullptr) weft_fault_real[i] = ::dlvsym(RTLD_NEXT, entries[i].name, "GLIBC_2.2.5"); // for old programs only
}

/// `first` is the call's first argument. 0: the call goes on. 1: it returns *result. 2: it throws std::bad_alloc.
[[gnu::visibility("hidden")]] int weft_fault_check(unsigned i, std::uintptr_t caller, long* result, long first) {
    plan& p = plans[i];
    if (begun && p.any && (!entries[i].own || is_weft(caller)) && !is_libev(i, caller)) {
        const unsigned long now = __atomic_add_fetch(&p.calls, 1, __ATOMIC_RELAXED);
        if (now == p.what.first || (p.what.always && now > p.what.first)) {
            if (now == p.what.first) {
                say(entries[i].name);
                say("\n");
            }
            if (entries[i].fails == how::bad_alloc) return 2;
            if (std::strcmp(entries[i].name, "close") == 0) raw(SYS_close, first, 0, 0); // the number is free even where it fails
            if (entries[i].fails != how::number) errno = p.what.error;
            *result = entries[i].fails == how::null ? 0 : entries[i].fails == how::number ? p.what.error : -1;
            return 1;
        }
    }
    if (weft_fault_real[i] == nullptr) weft_fault_resolve(i);
    return 0;
}

/// Counting begins, or begins anew.
[[gnu::visibility("default")]] void weft_fault_begin() {
    for (plan& p : plans) p.calls = 0;
    begun = true;
}
/// And ends: a child that is only the peer calls it.
[[gnu::visibility("default")]] void weft_fault_end() { begun = false; }
}

// Ten words are kept, so that the stack is aligned for the call; the eighth is the result, the eleventh the return address.
#define WEFT_TRAMPOLINE(number, name)                                                                                                      \
    asm(".pushsection .text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n.cfi_startproc\n"                                    \
        "push %rax\npush %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\npush %r9\npush %r10\nsub $24, %rsp\n.cfi_adjust_cfa_offset 88\n" \
        "mov %rdi, %rcx\nmov $" number ", %edi\nmov 88(%rsp), %rsi\nmov %rsp, %rdx\ncall weft_fault_check\n"                            \
        "mov %eax, %r11d\nmov (%rsp), %rax\ncmp $1, %r11d\nje 1f\ncmp $2, %r11d\nje 2f\n"                                                  \
        "add $24, %rsp\npop %r10\npop %r9\npop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\npop %rax\n.cfi_adjust_cfa_offset -88\n"        \
        "mov weft_fault_real+8*" number "(%rip), %r11\njmp *%r11\n"                                                                        \
        "1: .cfi_adjust_cfa_offset 88\nadd $88, %rsp\n.cfi_adjust_cfa_offset -88\nret\n"                                                   \
        "2: .cfi_adjust_cfa_offset 88\nadd $88, %rsp\n.cfi_adjust_cfa_offset -88\njmp _ZSt17__throw_bad_allocv@PLT\n"                      \
        ".cfi_endproc\n.size " #name ",.-" #name "\n.popsection\n");

#include "trampolines.inc"

namespace {

/// The kernel refuses these system calls from now on, whoever makes them.
void refuse(const unsigned (&numbers)[8], const int (&errors)[8], unsigned count) noexcept {
    sock_filter program[2 + 2 * 8 + 1];
    unsigned n = 0;
    program[n++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    for (unsigned i = 0; i < count; ++i) {
        program[n++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], 0, 1);
        program[n++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(errors[i]));
    }
    program[n++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    sock_fprog whole{static_cast<unsigned short>(n), program};
    raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0);
    if (raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, reinterpret_cast<long>(&whole)) != 0) say("seccomp refused\n");
}

struct system_call {
    const char* name;
    unsigned number;
};
constexpr system_call system_calls[] = {
    {"sys.io_uring_setup", SYS_io_uring_setup}, {"sys.io_uring_enter", SYS_io_uring_enter}, {"sys.process_vm_readv", SYS_process_vm_readv},
    {"sys.pidfd_open", SYS_pidfd_open},         {"sys.timerfd_create", SYS_timerfd_create}, {"sys.eventfd2", SYS_eventfd2},
    {"sys.epoll_create1", SYS_epoll_create1},   {"sys.signalfd4", SYS_signalfd4},           {"sys.openat", SYS_openat},
    {"sys.clone3", SYS_clone3},                 {"sys.madvise", SYS_madvise},
};

[[gnu::constructor]] void start() {
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void*) {
            if (std::strstr(info->dlpi_name, "libweft") == nullptr && std::strstr(info->dlpi_name, "libev.so") == nullptr) return 0;
            for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
                const auto& p = info->dlpi_phdr[i];
                if (p.p_type != PT_LOAD || (p.p_flags & PF_X) == 0 || weft_objects == 8) continue;
                weft_code[weft_objects] = {info->dlpi_addr + p.p_vaddr, info->dlpi_addr + p.p_vaddr + p.p_memsz};
                if (std::strstr(info->dlpi_name, "libev.so") != nullptr) libev_code = weft_code[weft_objects];
                ++weft_objects;
            }
            return 0;
        },
        nullptr);
    if (const char* path = std::getenv("WEFT_FAULT_LOG"); path != nullptr)
        log_fd = static_cast<int>(raw(SYS_openat, AT_FDCWD, reinterpret_cast<long>(path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (log_fd >= 0) { // out of the program's way
        const long moved = raw(SYS_fcntl, log_fd, F_DUPFD_CLOEXEC, 500);
        raw(SYS_close, log_fd, 0, 0);
        log_fd = static_cast<int>(moved);
    }
    const char* text = std::getenv("WEFT_FAULT");
    std::string_view rest = text == nullptr ? "" : text;
    weft_fault::fault f;
    unsigned refused[8];
    int errors[8];
    unsigned count = 0;
    while (weft_fault::next_fault(rest, f, number_of)) {
        bool known = false;
        for (unsigned i = 0; i < entry_count && !known; ++i) {
            if (f.name != entries[i].name) continue;
            plans[i].any = known = true;
            plans[i].what = f;
        }
        for (const system_call& c : system_calls) {
            if (f.name != c.name || count == 8) continue;
            refused[count] = c.number;
            errors[count++] = f.error;
            known = true;
        }
        if (!known) say("WEFT_FAULT names what is not known here\n");
    }
    if (!rest.empty()) say("WEFT_FAULT makes no sense\n");
    if (count > 0) refuse(refused, errors, count);
    for (unsigned i = 0; i < entry_count; ++i) weft_fault_resolve(i);
}

} // namespace
