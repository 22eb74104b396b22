// SPDX-License-Identifier: Apache-2.0
#include "threads/task_path.hpp"

#include "threads/green.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"

#include <charconv>
#include <cstdio>

#include <fcntl.h>

namespace weft::shim {

namespace {

bool skip(std::string_view& text, std::string_view what) noexcept {
    if (!text.starts_with(what)) return false;
    text.remove_prefix(what.size());
    return true;
}

/// A component that is a number.
bool take_number(std::string_view& text, int& number) noexcept {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number <= 0 || (end != text.data() + text.size() && *end != '/')) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

/// What follows a directory's name.
std::string_view inside(std::string_view text) noexcept {
    while (skip(text, "/")) {}
    while (text.ends_with('/')) text.remove_suffix(1);
    return text;
}

bool is_thread(int number) noexcept { return number == rt::sys::getpid() || (tid::is_green(number) && tid::lives(number)); }

/// Where a link of /proc/self/fd leads, or that of the current directory.
long name_of(int fd, char* to, std::size_t room) noexcept {
    char link[40];
    if (fd == AT_FDCWD) std::strcpy(link, "/proc/self/cwd");
    else std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return rt::sys::call(SYS_readlinkat, AT_FDCWD, rt::sys::arg(link), rt::sys::arg(to), static_cast<long>(room));
}

} // namespace

task_path task_path::of(const char* path) noexcept {
    std::string_view text = path;
    const bool slash = text.ends_with('/');
    const int self = rt::sys::getpid();
    int process = self, number = 0;
    if (!skip(text, "/proc/")) return {};
    if (skip(text, "thread-self")) {
        const green_thread* const me = green::self();
        if (me == nullptr || (!text.empty() && text[0] != '/')) return {};
        return {kind::thread, me->tid, inside(text), slash, false};
    }
    if (!skip(text, "self") && !take_number(text, process)) return {};
    if (!text.empty() && text[0] != '/') return {};
    if (process != self && !(tid::is_green(process) && is_thread(process))) return {};
    const bool whole = process != self;
    if (!skip(text, "/task") || (!text.empty() && text[0] != '/'))
        return {whole ? kind::thread : kind::process, process, inside(text), slash, whole};
    if (inside(text).empty()) return {kind::list, 0, {}, slash, whole};
    while (skip(text, "/")) {}
    if (!take_number(text, number) || !is_thread(number)) return {};
    return {kind::thread, number, inside(text), slash, false};
}

bool task_path::of_main(char* to, std::size_t room) const noexcept {
    char directory[40] = "/proc/self";
    if (what == kind::list) std::strcpy(directory, "/proc/self/task");
    else if (!whole) std::snprintf(directory, sizeof directory, "/proc/self/task/%d", rt::sys::getpid());
    const char* const end = slash && !file.empty() ? "/" : "";
    const int n = std::snprintf(to, room, "%s/%.*s%s", directory, static_cast<int>(file.size()), file.data(), end);
    return n > 0 && static_cast<std::size_t>(n) < room;
}

bool from_root(int directory, const char* path, char* to, std::size_t room) noexcept {
    const long n = name_of(directory, to, room);
    const std::size_t length = std::strlen(path);
    if (n <= 0 || static_cast<std::size_t>(n) + length + 2 > room) return false;
    to[n] = '/';
    std::memcpy(to + n + 1, path, length + 1);
    return true;
}

bool is_list(int fd) noexcept {
    char name[64];
    const long n = name_of(fd, name, sizeof name - 1);
    if (n <= 0) return false;
    name[n] = 0;
    return task_path::may_be(name) && task_path::of(name).what == task_path::kind::list;
}

} // namespace weft::shim
