// SPDX-License-Identifier: Apache-2.0
#include "launcher/check_libraries.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weft::launcher {

namespace {

/// Has the loader list; its output, or false where it failed.
bool output_of(std::vector<std::string> words, std::string& output) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    std::vector<char*> arguments;
    for (std::string& w : words) arguments.push_back(w.data());
    arguments.push_back(nullptr);
    std::vector<char*> environment;
    for (char** e = environ; *e != nullptr; ++e) // LD_LIBRARY_PATH counts, as it will when the program runs
        if (std::strncmp(*e, "LD_", 3) != 0 || std::strncmp(*e, "LD_LIBRARY_PATH=", 16) == 0) environment.push_back(*e);
    char list[] = "LD_TRACE_LOADED_OBJECTS=1"; // as ldd does it; with --list it would stop at the first that is missing
    environment.push_back(list);
    environment.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t child = -1;
    const int error = ::posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (error == 0) {
        char text[4096];
        for (ssize_t n; (n = ::read(ends[0], text, sizeof text)) > 0 || (n < 0 && errno == EINTR);)
            if (n > 0) output.append(text, static_cast<std::size_t>(n));
    }
    ::close(ends[0]);
    if (error != 0) return false;
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

bool list_libraries(const std::string& loader, const std::string& program, std::vector<check_report::library>& into) {
    const std::string path = program.find('/') == std::string::npos ? "./" + program : program;
    std::string text;
    const bool complete = output_of({loader, path}, text);
    // A line: "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", "\tlibx.so => not found", "\t/lib64/ld-linux-x86-64.so.2 (0x…)".
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::string name = line.substr(std::min(line.size(), line.find_first_not_of("\t ")));
        if (const auto address = name.rfind(" (0x"); address != std::string::npos) name.resize(address);
        std::string where = name;
        if (const auto arrow = name.find(" => "); arrow != std::string::npos) {
            where = name.substr(arrow + 4);
            name.resize(arrow);
        }
        if (where == "not found") where.clear();
        else if (where.empty() || where[0] != '/') continue; // the vdso
        into.push_back({name.substr(name.rfind('/') + 1), where});
    }
    return complete || !into.empty();
}

std::vector<check_report::library> mapped_objects(long pid) {
    std::vector<check_report::library> all;
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    for (std::string line; std::getline(maps, line);) {
        // address permissions offset device inode path
        const auto path = line.find('/');
        std::istringstream fields(line);
        std::string address, permissions;
        fields >> address >> permissions;
        if (path == std::string::npos || permissions.size() < 3 || permissions[2] != 'x') continue;
        const std::string file = line.substr(path);
        const bool known = std::any_of(all.begin(), all.end(), [&](const auto& l) { return l.path == file; });
        if (!known) all.push_back({file.substr(file.rfind('/') + 1), file});
    }
    return all;
}

bool read_file(const std::string& path, std::vector<unsigned char>& into) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return false;
    struct stat s{};
    bool read = ::fstat(fd, &s) == 0;
    if (read && !S_ISREG(s.st_mode)) {
        errno = S_ISDIR(s.st_mode) ? EISDIR : EINVAL;
        read = false;
    }
    if (read) {
        into.resize(static_cast<std::size_t>(s.st_size));
        std::size_t done = 0;
        while (done < into.size()) {
            const ssize_t n = ::read(fd, into.data() + done, into.size() - done);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) read = false;
            if (n <= 0) break;
            done += static_cast<std::size_t>(n);
        }
        into.resize(done);
    }
    const int saved_errno = errno;
    ::close(fd);
    errno = saved_errno;
    return read;
}

} // namespace weft::launcher
