// SPDX-License-Identifier: Apache-2.0
#include "threads/task_text.hpp"

#include "threads/names.hpp"
#include "threads/task_list.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

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

} // namespace

bool is_made(const task_path& path) noexcept {
    if (path.what == task_path::kind::process) return path.file == "stat" || path.file == "status";
    if (path.what != task_path::kind::thread) return false;
    if (!tid::is_green(path.thread)) return path.file == "stat" || path.file == "status" || path.file == "children";
    for (const text t : of_threads)
        if (path.file == t) return true;
    return false;
}

int open(const task_path& path, bool close_on_exec) noexcept {
    subject s;
    if (!find(path.thread, s)) return -1;
    char name[96], from[4096];
    std::snprintf(name, sizeof name, "/proc/self/%.*s", static_cast<int>(path.file.size()), path.file.data());
    const bool of_process = path.what == task_path::kind::process;
    if (!of_process && !path.of_main(name, sizeof name)) return -1;
    const long n = task_list::read_file(name, from, sizeof from);
    if (n < 0) return -1;
    const int fd = static_cast<int>(call(SYS_memfd_create, arg("task"), close_on_exec ? MFD_CLOEXEC : 0));
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
    return fd;
}

} // namespace weft::shim::task_text
