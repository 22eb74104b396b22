// SPDX-License-Identifier: Apache-2.0
// --trap where prctl is refused: said once, and everything else goes on.
#include "ticker.hpp"
#include "by_instruction.h"

#include <catch2/catch.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

using namespace shim_test;

namespace {

constexpr int saved_stderr = 190, captured_stderr = 191;

void refuse_the_trap() {
    sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 59, 0, 1), // PR_SET_SYSCALL_USER_DISPATCH
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{sizeof rules / sizeof rules[0], rules};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/// The program runs itself again as `--trap` would run it, what weft says going to a file.
[[gnu::constructor]] void run_again(int, char** argv) {
    if (::fcntl(captured_stderr, F_GETFD) >= 0) return;
    ::setenv("WEFT_TRAP", "1", 1);
    const int file = ::open("/tmp", O_TMPFILE | O_RDWR, 0600);
    ::dup2(file, captured_stderr);
    ::close(file);
    ::dup2(2, saved_stderr);
    ::dup2(captured_stderr, 2);
    refuse_the_trap();
    ::execv("/proc/self/exe", argv);
}

std::string said() {
    char text[4096];
    const ssize_t n = ::pread(captured_stderr, text, sizeof text, 0);
    return {text, text + (n > 0 ? n : 0)};
}

} // namespace

TEST_CASE("a kernel that refuses the trap is named once, and calls by name are served") {
    weft::spawn([] {}).join();
    std::thread([] { weft::spawn([] {}).join(); }).join();
    const std::string all = said();
    CHECK(all.find("--trap does nothing") != std::string::npos);
    CHECK(all.find("--trap does nothing") == all.rfind("--trap does nothing"));
    pair p = pair::stream();
    char c = 0;
    const outcome o = in_fiber([&] { return ::read(p[0], &c, 1); }, [&] { CHECK(::write(p[1], "x", 1) == 1); });
    CHECK(o.result == 1);
    CHECK(o.ticks >= 10);
    const timespec t{0, 10'000'000};
    CHECK(in_fiber([&] { return by_instruction(SYS_nanosleep, reinterpret_cast<long>(&t)); }).result == 0);
    ::dup2(saved_stderr, 2);
}
