// SPDX-License-Identifier: Apache-2.0
#include "threads/task_text.hpp"

#include "calls/wait.hpp"
#include "threads/names.hpp"
#include "threads/task_list.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>

namespace weft::shim::task_text {

namespace {

using rt::sys::arg;
using rt::sys::call;
using text = std::string_view;

/// What is said of one thread.
struct subject {
    int number = 0;
    bool is_main = false;
    char state = 'S';
    char name[names::size] = {};
    std::int64_t used_ns = 0; // of processor time, as far as it is counted
};

bool find(int number, subject& s) noexcept {
    const green_thread* const me = green::self();
    s.number = number;
    s.is_main = !tid::is_green(number);
    return tid::with(number, [&](green_thread& t) {
        if (!s.is_main) names::get(t, s.name);
        const rt::fiber_state state = t.fiber->state.load(std::memory_order_relaxed);
        if (&t == me || state == rt::fiber_state::running || state == rt::fiber_state::ready) s.state = 'R';
        if (t.cpu.counted.load(std::memory_order_relaxed)) s.used_ns = t.cpu.used.load(std::memory_order_relaxed);
    });
}

/// A file in memory that is being written.
class sheet {
public:
    explicit sheet(int fd) noexcept : fd_(fd) {}
    void add(text t) noexcept { call(SYS_write, fd_, arg(t.data()), static_cast<long>(t.size())); }
    void add(std::int64_t n) noexcept {
        char digits[24];
        add(text(digits, static_cast<std::size_t>(std::snprintf(digits, sizeof digits, "%lld", static_cast<long long>(n)))));
    }

private:
    int fd_;
};

/// The fields of `stat`, numbered as proc(5) has them. The second, the name in parentheses, may have anything in it.
void write_stat(sheet& out, text from, const subject& s, bool of_process) noexcept {
    const std::size_t open = from.find('('), close = from.rfind(')');
    if (open == text::npos || close == text::npos || close + 2 > from.size()) return out.add(from);
    if (s.is_main) {
        out.add(from.substr(0, close + 2));
    } else {
        out.add(s.number);
        out.add(" (");
        out.add(s.name);
        out.add(") ");
    }
    from.remove_prefix(close + 2);
    const std::int64_t ticks = s.used_ns / 10'000'000; // USER_HZ is 100
    for (int field = 3; !from.empty(); ++field) {
        const std::size_t end = from.find_first_of(" \n"), size = end == text::npos ? from.size() : end + 1;
        const text after = end == text::npos ? text() : from.substr(end, 1);
        if (field == 3) out.add(text(&s.state, 1));
        else if (field == 20) out.add(task_list::count());
        else if (field == 14 && !s.is_main && !of_process) out.add(ticks);
        else if (field >= 10 && field <= 15 && !s.is_main && !of_process) out.add("0");
        else out.add(from.substr(0, end == text::npos ? size : end));
        out.add(after);
        from.remove_prefix(size);
    }
}

void write_status(sheet& out, text from, const subject& s) noexcept {
    while (!from.empty()) {
        const std::size_t end = from.find('\n');
        const text line = from.substr(0, end == text::npos ? from.size() : end);
        from.remove_prefix(end == text::npos ? from.size() : end + 1);
        if (line.starts_with("State:")) {
            out.add(s.state == 'R' ? "State:\tR (running)" : "State:\tS (sleeping)");
        } else if (line.starts_with("Threads:")) {
            out.add("Threads:\t");
            out.add(task_list::count());
        } else if (s.is_main) {
            out.add(line);
        } else if (line.starts_with("Name:")) {
            out.add("Name:\t");
            out.add(s.name);
        } else if (line.starts_with("Pid:")) {
            out.add("Pid:\t");
            out.add(s.number);
        } else if (line.starts_with("NSpid:")) {
            out.add(line.substr(0, line.rfind('\t') + 1));
            out.add(s.number);
        } else {
            out.add(line);
        }
        out.add("\n");
    }
}

/// Children belong to the kernel threads that made them: all are shown as main's.
void write_children(sheet& out, const subject& s) noexcept {
    if (!s.is_main) return;
    const auto add = [](int number, void* to) noexcept {
        char path[64], children[2048];
        std::snprintf(path, sizeof path, "/proc/self/task/%d/children", number);
        const long n = task_list::read_file(path, children, sizeof children);
        if (n > 0) static_cast<sheet*>(to)->add(text(children, static_cast<std::size_t>(n)));
    };
    add(s.number, &out);
    task_list::kernel_threads(true, add, &out);
}

constexpr std::array<text, 5> of_threads{"stat", "status", "comm", "schedstat", "children"};

/// Names in memory of what is written to: whose name it is.
constexpr char of_name[] = "comm of ";
constexpr text link_to_name = "/memfd:comm of ";

/// The number of the thread whose name that descriptor is; 0: none.
int thread_of(int fd) noexcept {
    char link[40], name[64] = {};
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const long n = call(SYS_readlink, arg(link), arg(name), sizeof name - 1);
    if (n <= 0 || !text(name).starts_with(link_to_name)) return 0;
    int number = 0;
    const char* const begin = name + link_to_name.size();
    return std::from_chars(begin, name + n, number).ec == std::errc() ? number : 0;
}

/// What is written at once is the name, as far as there is room for it.
bool set_name(int number, const char* bytes, std::size_t size, char (&name)[names::size]) noexcept {
    std::memcpy(name, bytes, size);
    name[size] = 0;
    return tid::with(number, [&](green_thread& t) { names::set(t, name); });
}

} // namespace

bool is_made(const task_path& path) noexcept {
    if (path.slash) return false;
    if (path.what == task_path::kind::process) return path.file == "stat" || path.file == "status";
    if (path.what != task_path::kind::thread) return false;
    if (!tid::is_green(path.thread)) return path.file == "stat" || path.file == "status" || path.file == "children";
    for (const text t : of_threads)
        if (path.file == t) return true;
    return false;
}

int open(const task_path& path, int flags) noexcept {
    subject s;
    if (!find(path.thread, s)) return -1;
    char name[96], from[4096];
    std::snprintf(name, sizeof name, "/proc/self/%.*s", static_cast<int>(path.file.size()), path.file.data());
    const bool of_process = path.what == task_path::kind::process;
    if (!of_process && !path.of_main(name, sizeof name)) return -1;
    const long n = task_list::read_file(name, from, sizeof from);
    if (n < 0) return -1;
    std::snprintf(name, sizeof name, "%s%d", path.file == "comm" ? of_name : "task ", s.number);
    const int fd = static_cast<int>(call(SYS_memfd_create, arg(name), (flags & O_CLOEXEC) != 0 ? MFD_CLOEXEC : 0));
    if (fd < 0) return -1;
    sheet out(fd);
    const text all(from, static_cast<std::size_t>(n));
    if (path.file == "stat") write_stat(out, all, s, of_process);
    else if (path.file == "status") write_status(out, all, s);
    else if (path.file == "children") write_children(out, s);
    else if (path.file == "comm") {
        out.add(s.name);
        out.add("\n");
    } else {
        out.add(s.used_ns);
        out.add(" 0 1\n");
    }
    call(SYS_lseek, fd, 0, 0);
    if ((flags & O_ACCMODE) == O_RDWR) return fd;
    std::snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    const long only = call(SYS_openat, AT_FDCWD, arg(name), flags & (O_ACCMODE | O_CLOEXEC | O_APPEND));
    if (only < 0) return fd;
    call(SYS_close, fd);
    return static_cast<int>(only);
}

bool is_name(int fd, const struct stat& s) noexcept {
    // A file in memory has no name in a directory.
    return s.st_nlink == 0 && s.st_size <= static_cast<off_t>(names::size) && (s.st_mode & 07777) == 0777 && thread_of(fd) != 0;
}

ssize_t write_name(int fd, const iovec* parts, int count) noexcept {
    const int number = thread_of(fd);
    ssize_t done = 0;
    char name[names::size] = {};
    for (int i = 0; i < count; ++i) {
        char bytes[names::size - 1];
        const std::size_t size = std::min(parts[i].iov_len, sizeof bytes);
        if (!copy_from_caller(bytes, parts[i].iov_base, size)) return done != 0 ? done : fail(EFAULT);
        if (!set_name(number, bytes, size, name)) return done != 0 ? done : fail(ESRCH);
        done += static_cast<ssize_t>(parts[i].iov_len);
    }
    const long length = static_cast<long>(std::strlen(name));
    name[length] = '\n'; // for who reads it
    call(SYS_ftruncate, fd, 0);
    call(SYS_pwrite64, fd, arg(name), length + 1, 0);
    return done;
}

} // namespace weft::shim::task_text
