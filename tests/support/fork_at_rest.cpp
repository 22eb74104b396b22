// SPDX-License-Identifier: Apache-2.0
// A fork for test programs under AddressSanitizer. gcc 12's leaves its own locks in a child as they are: if another kernel thread is
// starting, ending or allocating at that moment, the child has one that nobody will release, and hangs. So this one waits until all
// other kernel threads sleep: who sleeps in the kernel has no lock of the sanitizer's, or waits for one that a running thread has.
// Libweft's own calls of fork come here, too.
#include "core/sys.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)

namespace {

namespace sys = weft::rt::sys; // neither a shim nor the sanitizer has a part in the look

void nap() noexcept {
    const timespec a_while{0, 200'000};
    sys::call(SYS_nanosleep, sys::arg(&a_while));
}

bool sleeps(int tid) noexcept {
    char text[512];
    std::snprintf(text, sizeof text, "/proc/self/task/%d/stat", tid);
    const long fd = sys::call(SYS_openat, AT_FDCWD, sys::arg(text), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return true; // it has ended
    const long size = sys::call(SYS_read, fd, sys::arg(text), sizeof text - 1);
    sys::close(static_cast<int>(fd));
    if (size <= 0) return true;
    text[size] = '\0';
    const char* const name_end = std::strrchr(text, ')');
    return name_end != nullptr && std::strchr("SXZ", name_end[2]) != nullptr;
}

bool all_others_sleep() noexcept {
    struct entry { // linux_dirent64, whose name is as long as it is
        std::uint64_t inode;
        std::int64_t offset;
        unsigned short size;
        unsigned char type;
        char name[1];
    };
    const long fd = sys::call(SYS_openat, AT_FDCWD, sys::arg("/proc/self/task"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return true;
    bool all = true;
    alignas(entry) char room[4096];
    for (long size; all && (size = sys::call(SYS_getdents64, fd, sys::arg(room), sizeof room)) > 0;)
        for (long at = 0; all && at < size;) {
            const auto* const e = reinterpret_cast<const entry*>(room + at);
            at += e->size;
            int tid = 0;
            for (const char* digit = e->name; *digit >= '0' && *digit <= '9'; ++digit) tid = tid * 10 + (*digit - '0');
            all = tid == 0 || tid == sys::gettid() || sleeps(tid);
        }
    sys::close(static_cast<int>(fd));
    return all;
}

constinit std::atomic<bool> one_forks{false}; // the others nap, so they are at rest

} // namespace

extern "C" __attribute__((visibility("default"))) pid_t fork() noexcept {
    static const auto real = reinterpret_cast<pid_t (*)()>(::dlsym(RTLD_NEXT, "fork"));
    while (one_forks.exchange(true, std::memory_order_acquire)) nap();
    for (int looks = 0; looks < 10'000 && !all_others_sleep(); ++looks) nap(); // a test whose threads never rest goes on, too
    const pid_t child = real();
    one_forks.store(false, std::memory_order_release); // of each process its own
    return child;
}

#endif
