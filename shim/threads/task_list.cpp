// SPDX-License-Identifier: Apache-2.0
#include "threads/task_list.hpp"

#include "threads/tid.hpp"

#include "core/own_thread.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>

namespace weft::shim::task_list {

namespace {

using rt::sys::arg;
using rt::sys::call;

/// One of weft's that was just made looks like one of the program's: it has its maker's name. It takes one of its own at once.
void wait_for_names() noexcept {
    const timespec pause{0, 200'000};
    for (int i = 0; i < 500 && rt::own_threads_unnamed.load(std::memory_order_acquire) > 0; ++i) call(SYS_nanosleep, arg(&pause));
}

bool is_own(const char* number) noexcept {
    char path[64] = "/proc/self/task/", name[32] = {};
    char* const end = stpncpy(path + sizeof "/proc/self/task/" - 1, number, 20);
    std::memcpy(end, "/comm", sizeof "/comm");
    const long n = read_file(path, name, sizeof name - 1);
    return n < 0 || std::strncmp(name, "weft-", 5) == 0; // or it has ended
}

/// The smallest numbers of those that are shown to it.
struct smallest {
    int first;
    int* numbers;
    std::size_t room, count = 0;

    void see(int number) noexcept {
        if (number < first || room == 0) return;
        if (count == room) {
            if (number >= numbers[0]) return;
            std::pop_heap(numbers, numbers + count--);
        }
        numbers[count++] = number;
        std::push_heap(numbers, numbers + count);
    }
};

} // namespace

long read_file(const char* path, char* to, std::size_t room) noexcept {
    const long fd = call(SYS_openat, AT_FDCWD, arg(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fd;
    long all = 0;
    while (static_cast<std::size_t>(all) < room) {
        const long n = call(SYS_read, fd, arg(to + all), static_cast<long>(room) - all);
        if (n <= 0) break;
        all += n;
    }
    call(SYS_close, fd);
    return all;
}

void kernel_threads(bool own, void (*f)(int, void*) noexcept, void* context) noexcept {
    const long fd = call(SYS_openat, AT_FDCWD, arg("/proc/self/task"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    const int main = rt::sys::getpid();
    alignas(dirent64) char room[1024];
    for (;;) {
        const long n = call(SYS_getdents64, fd, arg(room), sizeof room);
        if (n <= 0) break;
        for (long at = 0; at < n;) {
            const auto& e = *reinterpret_cast<const dirent64*>(room + at);
            at += e.d_reclen;
            int number = 0;
            const bool is_number = std::from_chars(e.d_name, e.d_name + std::strlen(e.d_name), number).ec == std::errc();
            if (is_number && number != main && (own || !is_own(e.d_name))) f(number, context);
        }
    }
    call(SYS_close, fd);
}

bool differs() noexcept {
    if (green::self() != nullptr) return true;
    bool any = false;
    green::for_each([](green_thread&, void* found) { *static_cast<bool*>(found) = true; }, &any);
    return any;
}

std::size_t from(int first, int* numbers, std::size_t room) noexcept {
    smallest s{first, numbers, room};
    if (first < tid::first) {
        wait_for_names();
        kernel_threads(false, [](int number, void* p) noexcept { static_cast<smallest*>(p)->see(number); }, &s);
    }
    green::for_each(
        [](green_thread& t, void* p) {
            if (tid::is_green(t.tid)) static_cast<smallest*>(p)->see(t.tid);
        },
        &s);
    std::sort_heap(numbers, numbers + s.count);
    return s.count;
}

int count() noexcept {
    int n = 1;
    wait_for_names();
    kernel_threads(false, [](int, void* p) noexcept { ++*static_cast<int*>(p); }, &n);
    green::for_each([](green_thread& t, void* p) { *static_cast<int*>(p) += tid::is_green(t.tid) ? 1 : 0; }, &n);
    return n;
}

} // namespace weft::shim::task_list
