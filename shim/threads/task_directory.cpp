// SPDX-License-Identifier: Apache-2.0
// The directory of the program's threads. Its descriptor is the kernel's own, whose position tells how far it has been read: 0 and 1 are "." and
// "..", 2 is main, and beyond that comes the smallest number that the position does not exceed by more than 3. libc reads a directory by an inner
// system call, which is trapped for this one.
#include "threads/task_files.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"
#include "threads/task_list.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"
#include <weft/export.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace weft::shim::task_files {

namespace {

using rt::sys::arg;

/// Those that are open. Whoever has more at once sees the kernel's list in the rest.
constinit std::atomic<DIR*> lists[16];
constinit std::atomic<int> how_many{0};

constexpr int of_main = 2, of_numbers = 3;

/// Entries as getdents64(2) gives them, gathered and handed over some at a time.
class entries {
public:
    entries(char* to, std::size_t bytes) noexcept : to_(to), room_(bytes) {}

    /// False: there is no room for it.
    bool add(long number, const char* name, long position) noexcept {
        const std::size_t length = std::strlen(name) + 1;
        const auto size = (offsetof(dirent64, d_name) + length + 7) / 8 * 8;
        if (done_ + used_ + size > room_) return false;
        if (used_ + size > sizeof some_ && !hand_over()) return false;
        auto& e = *reinterpret_cast<dirent64*>(some_ + used_);
        std::memset(some_ + used_, 0, size);
        e.d_ino = static_cast<ino64_t>(number) + (ino64_t{1} << 32);
        e.d_off = position;
        e.d_reclen = static_cast<unsigned short>(size);
        e.d_type = DT_DIR;
        std::memcpy(some_ + used_ + offsetof(dirent64, d_name), name, length);
        used_ += size;
        return true;
    }
    bool hand_over() noexcept {
        if (used_ != 0 && !copy_to_caller(to_ + done_, some_, used_)) failed_ = true;
        if (!failed_) done_ += used_;
        used_ = 0;
        return !failed_;
    }
    [[nodiscard]] long result() noexcept { return hand_over() ? static_cast<long>(done_) : -EFAULT; }

private:
    char* to_;
    std::size_t room_, done_ = 0, used_ = 0;
    bool failed_ = false;
    alignas(dirent64) char some_[512];
};

/// Adds what comes at that position and after it, as far as there is room; the new position.
long add_from(long position, entries& out) noexcept {
    if (position == 0 && out.add(1, ".", 1)) position = 1;
    if (position == 1 && out.add(2, "..", of_main)) position = of_main;
    char name[16];
    const auto add = [&](int number, long next) {
        std::snprintf(name, sizeof name, "%d", number);
        return out.add(number, name, next);
    };
    if (position == of_main && add(rt::sys::getpid(), of_numbers)) position = of_numbers;
    if (position < of_numbers) return position;
    int numbers[128];
    for (;;) {
        const std::size_t n = task_list::from(static_cast<int>(position - of_numbers), numbers, std::size(numbers));
        for (std::size_t i = 0; i < n; ++i) {
            const long next = numbers[i] + 1L + of_numbers;
            if (!add(numbers[i], next)) return position;
            position = next;
        }
        if (n < std::size(numbers)) return position;
    }
}

} // namespace

long getdents64(unsigned fd, void* to, std::size_t bytes) noexcept {
    const int saved_errno = errno;
    const auto ours = [&] { return task_list::differs() && weft::shim::is_list(static_cast<int>(fd)); };
    if (!ours()) return rt::sys::call(SYS_getdents64, fd, arg(to), static_cast<long>(bytes));
    const long position = rt::sys::call(SYS_lseek, fd, 0, SEEK_CUR);
    if (position < 0) return position;
    entries out(static_cast<char*>(to), bytes);
    const long next = add_from(position, out);
    const long result = out.result();
    errno = saved_errno;
    if (result < 0) return result;
    int after = 0;
    if (result == 0 && (position < of_numbers || task_list::from(static_cast<int>(position - of_numbers), &after, 1) != 0)) return -EINVAL; // no room
    rt::sys::call(SYS_lseek, fd, next, SEEK_SET);
    return result;
}

DIR* adopted(DIR* d) noexcept {
    if (d == nullptr) return d;
    const int saved_errno = errno;
    if (task_list::differs() && weft::shim::is_list(::dirfd(d))) {
        for (auto& place : lists) {
            DIR* nobody = nullptr;
            if (!place.compare_exchange_strong(nobody, d)) continue;
            how_many.fetch_add(1);
            break;
        }
    }
    errno = saved_errno;
    return d;
}

bool is_list(DIR* d) noexcept {
    if (__builtin_expect(how_many.load(std::memory_order_relaxed) == 0, 1)) return false;
    return std::any_of(std::begin(lists), std::end(lists), [&](const auto& place) { return place.load(std::memory_order_relaxed) == d; });
}

void closing(DIR* d) noexcept {
    if (!is_list(d)) return;
    for (auto& place : lists) {
        DIR* wanted = d;
        if (place.compare_exchange_strong(wanted, nullptr)) how_many.fetch_sub(1);
    }
}

namespace {

/// libc's function, whose system calls are trapped if it reads that directory.
template <call c, class... A>
auto read(DIR* d, A... arguments) noexcept {
    if (__builtin_expect(!is_list(d), 1)) return real_of<c>()(d, arguments...);
    const trap::trapped here;
    return real_of<c>()(d, arguments...);
}

DIR* open(const char* path) noexcept { return opened(real().opendir(path), path); }
DIR* adopt(int fd) noexcept { return adopted(real().fdopendir(fd)); }
int close(DIR* d) noexcept {
    closing(d);
    return real().closedir(d);
}

/// scandir of such a directory. libc's calls the program's functions in between.
template <class Entry>
int scan(DIR* d, Entry*** out, int (*wanted)(const Entry*), int (*compare)(const Entry**, const Entry**)) noexcept {
    Entry** all = nullptr;
    std::size_t count = 0, room = 0;
    const int saved_errno = errno;
    errno = 0;
    while (const auto* const e = reinterpret_cast<const Entry*>(::readdir(d))) { // the 64-bit names are the same
        const std::size_t size = e->d_reclen;
        auto* const copy = static_cast<Entry*>(std::malloc(size));
        if (copy != nullptr) std::memcpy(copy, e, size);
        if (copy != nullptr && wanted != nullptr && wanted(copy) == 0) {
            std::free(copy);
            errno = 0;
            continue;
        }
        if (count == room) {
            room = room == 0 ? 16 : 2 * room;
            if (auto* const more = static_cast<Entry**>(std::realloc(all, room * sizeof *all)); more != nullptr) all = more;
            else room = count;
        }
        if (copy == nullptr || room == count) {
            std::free(copy);
            errno = ENOMEM;
            break;
        }
        all[count++] = copy;
        errno = 0;
    }
    const int error = errno;
    ::closedir(d);
    if (error != 0) {
        while (count != 0) std::free(all[--count]);
        std::free(all);
        errno = error;
        return -1;
    }
    errno = saved_errno;
    if (compare != nullptr && count != 0)
        std::qsort(all, count, sizeof *all, reinterpret_cast<int (*)(const void*, const void*)>(compare));
    *out = all;
    return static_cast<int>(count);
}

template <call c, class Entry>
int scan_path(const char* path, Entry*** out, int (*wanted)(const Entry*), int (*compare)(const Entry**, const Entry**)) {
    if (task_path::may_be(path) && task_list::differs())
        if (const task_path p = task_path::of(path); p.what == task_path::kind::list || (p.what == task_path::kind::thread && tid::is_green(p.thread)))
            if (DIR* const d = ::opendir(path); d != nullptr) return scan(d, out, wanted, compare);
    return real_of<c>()(path, out, wanted, compare);
}

} // namespace

} // namespace weft::shim::task_files

using weft::shim::call;
using weft::shim::serve_thread;
namespace task_files = weft::shim::task_files;

extern "C" {

WEFT_API DIR* opendir(const char* path) { return serve_thread<call::opendir>(task_files::open, path); }
WEFT_API DIR* fdopendir(int fd) { return serve_thread<call::fdopendir>(task_files::adopt, fd); }
WEFT_API int closedir(DIR* d) { return serve_thread<call::closedir>(task_files::close, d); }
WEFT_API dirent* readdir(DIR* d) { return serve_thread<call::readdir>(task_files::read<call::readdir>, d); }
WEFT_API dirent64* readdir64(DIR* d) { return serve_thread<call::readdir64>(task_files::read<call::readdir64>, d); }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
WEFT_API int readdir_r(DIR* d, dirent* e, dirent** out) {
    return serve_thread<call::readdir_r>(task_files::read<call::readdir_r, dirent*, dirent**>, d, e, out);
}
WEFT_API int readdir64_r(DIR* d, dirent64* e, dirent64** out) {
    return serve_thread<call::readdir64_r>(task_files::read<call::readdir64_r, dirent64*, dirent64**>, d, e, out);
}
#pragma GCC diagnostic pop
WEFT_API ssize_t getdents64(int fd, void* to, std::size_t bytes) noexcept {
    const long result = serve_thread<call::getdents64>(task_files::getdents64, static_cast<unsigned>(fd), to, bytes);
    if (result < 0) errno = static_cast<int>(-result);
    return result < 0 ? -1 : result;
}
WEFT_API int scandir(const char* path, dirent*** out, int (*wanted)(const dirent*), int (*compare)(const dirent**, const dirent**)) {
    return task_files::scan_path<call::scandir>(path, out, wanted, compare);
}
WEFT_API int scandir64(const char* path, dirent64*** out, int (*wanted)(const dirent64*), int (*compare)(const dirent64**, const dirent64**)) {
    return task_files::scan_path<call::scandir64>(path, out, wanted, compare);
}

} // extern "C"
