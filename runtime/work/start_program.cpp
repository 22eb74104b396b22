// SPDX-License-Identifier: Apache-2.0
#include "work/start_program.hpp"

#include "core/sys.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

namespace weft::rt {

namespace {

[[noreturn]] void fail(int error, const std::string& what) { throw std::system_error(error, std::generic_category(), what); }

void check(int error) {
    if (error != 0) fail(error, "weft: posix_spawn");
}

class file_actions {
public:
    file_actions() { check(::posix_spawn_file_actions_init(&actions_)); }
    file_actions(const file_actions&) = delete;
    file_actions& operator=(const file_actions&) = delete;
    ~file_actions() { ::posix_spawn_file_actions_destroy(&actions_); }
    posix_spawn_file_actions_t* get() noexcept { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

class attributes {
public:
    explicit attributes(const popen_options& options) {
        check(::posix_spawnattr_init(&attributes_));
        int flags = POSIX_SPAWN_SETSIGMASK;
        sigset_t mask;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &mask); // libc's: a green thread has a mask of its own
        if (blocks_all(mask)) sigemptyset(&mask);     // a helper thread's
        ::posix_spawnattr_setsigmask(&attributes_, &mask);
        if (options.restore_signals) {
            sigset_t restored;
            sigemptyset(&restored);
            sigaddset(&restored, SIGPIPE);
            sigaddset(&restored, SIGXFSZ);
            ::posix_spawnattr_setsigdefault(&attributes_, &restored);
            flags |= POSIX_SPAWN_SETSIGDEF;
        }
        if (options.new_session) flags |= POSIX_SPAWN_SETSID;
        if (options.process_group >= 0) {
            ::posix_spawnattr_setpgroup(&attributes_, options.process_group);
            flags |= POSIX_SPAWN_SETPGROUP;
        }
        ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
    }
    attributes(const attributes&) = delete;
    attributes& operator=(const attributes&) = delete;
    ~attributes() { ::posix_spawnattr_destroy(&attributes_); }
    posix_spawnattr_t* get() noexcept { return &attributes_; }

private:
    static bool blocks_all(const sigset_t& mask) noexcept {
        for (int s = 1; s < 32; ++s)
            if (s != SIGKILL && s != SIGSTOP && sigismember(&mask, s) == 0) return false;
        return true;
    }
    posix_spawnattr_t attributes_;
};

/// What the three standard descriptors become; descriptors of ours are kept until the program has started.
class standard_streams {
public:
    standard_streams(const popen_options& options, started_program& started) {
        const stdio_choice given[3] = {options.stdin, options.stdout, options.stderr};
        for (int i = 0; i < 3; ++i) {
            how_[i] = given[i].how();
            if (how_[i] == stdio_choice::kind::pipe) make_pipe(i, started.ends[i]);
            if (how_[i] == stdio_choice::kind::descriptor) take(i, given[i].fd());
        }
    }
    void add_to(file_actions& actions) const {
        for (int i = 0; i < 3; ++i) {
            if (sources_[i] >= 0) check(::posix_spawn_file_actions_adddup2(actions.get(), sources_[i], i));
            else if (how_[i] == stdio_choice::kind::devnull)
                check(::posix_spawn_file_actions_addopen(actions.get(), i, "/dev/null", O_RDWR, 0));
            else if (how_[i] == stdio_choice::kind::to_stdout && i == 2) check(::posix_spawn_file_actions_adddup2(actions.get(), 1, 2));
        }
    }

private:
    void make_pipe(int i, owned_fd& ours) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) fail(errno, "weft: a pipe to a program");
        owned_fd read_end(ends[0]), write_end(ends[1]);
        read_end = above_standard(read_end.release(), "weft: a pipe to a program");
        write_end = above_standard(write_end.release(), "weft: a pipe to a program");
        ours = std::move(i == 0 ? write_end : read_end);
        kept_[i] = std::move(i == 0 ? read_end : write_end);
        sources_[i] = kept_[i].get();
    }
    /// One that is to become another standard descriptor would be overwritten on the way.
    void take(int i, int fd) {
        sources_[i] = fd;
        if (fd < 0 || fd > 2) {
            if (::fcntl(fd, F_GETFD) < 0) fail(errno, "weft: a standard stream of a program");
        } else if (fd != i) {
            kept_[i] = owned_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
            if (kept_[i].get() < 0) fail(errno, "weft: a standard stream of a program");
            sources_[i] = kept_[i].get();
        }
    }

    stdio_choice::kind how_[3];
    owned_fd kept_[3];
    int sources_[3] = {-1, -1, -1};
};

/// Descriptors from 3 on are closed, but for those.
void close_others(file_actions& actions, std::vector<int> passed, bool close_fds) {
    std::sort(passed.begin(), passed.end());
    int next = 3;
    for (const int fd : passed) {
        if (::fcntl(fd, F_GETFD) < 0) fail(errno, "weft: a descriptor for a program");
        check(::posix_spawn_file_actions_adddup2(actions.get(), fd, fd)); // not close-on-exec there
        for (; close_fds && next < fd; ++next) check(::posix_spawn_file_actions_addclose(actions.get(), next));
        next = std::max(next, fd + 1);
    }
    if (close_fds) check(::posix_spawn_file_actions_addclosefrom_np(actions.get(), next));
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
    std::vector<char*> all;
    all.reserve(strings.size() + 1);
    for (const std::string& s : strings) {
        if (s.find('\0') != std::string::npos) throw std::invalid_argument("weft: a null character in what a program is given");
        all.push_back(const_cast<char*>(s.c_str()));
    }
    all.push_back(nullptr);
    return all;
}

/// Where a program without a slash in its name may be.
std::vector<std::string> places_of(const std::string& program, const std::vector<std::string>& variables) {
    if (program.find('/') != std::string::npos) return {program};
    std::string_view path = "/bin:/usr/bin";
    for (const std::string& v : variables)
        if (v.starts_with("PATH=")) path = std::string_view(v).substr(5);
    std::vector<std::string> places;
    for (std::size_t at = 0; !program.empty() && at <= path.size();) {
        const std::size_t end = std::min(path.find(':', at), path.size());
        const std::string_view folder = path.substr(at, end - at);
        places.push_back(folder.empty() ? "./" + program : std::string(folder) + "/" + program);
        at = end + 1;
    }
    return places;
}

bool is_absent(const std::string& place) noexcept {
    return place.front() == '/' && sys::call(SYS_faccessat, AT_FDCWD, sys::arg(place.c_str()), F_OK) != 0;
}

} // namespace

void owned_fd::reset(int fd) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
}

owned_fd above_standard(int fd, const char* what) {
    if (fd < 0) fail(errno, what);
    owned_fd low(fd);
    if (fd > 2) return low;
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (moved < 0) fail(errno, what);
    return owned_fd(moved);
}

started_program start_program(const std::vector<std::string>& args, const popen_options& options) {
    if (args.empty()) throw std::invalid_argument("weft: no program to run");
    std::vector<std::string> words = args;
    if (options.shell) words.insert(words.begin(), {"/bin/sh", "-c"});
    const std::vector<std::string> variables = options.env.variables();
    const std::vector<char*> argv = pointers(words), envp = pointers(variables);

    started_program started;
    const standard_streams streams(options, started);
    file_actions actions;
    owned_fd folder;
    if (!options.cwd.empty()) {
        const int fd = ::open(options.cwd.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        folder = above_standard(fd, ("weft: the directory '" + options.cwd + "' for a program").c_str());
        check(::posix_spawn_file_actions_addfchdir_np(actions.get(), folder.get()));
    }
    streams.add_to(actions);
    close_others(actions, options.pass_fds, options.close_fds);
    attributes how(options);

    int error = ENOENT;
    for (const std::string& place : places_of(words[0], variables)) {
        if (is_absent(place)) continue;
        const int result = ::posix_spawn(&started.pid, place.c_str(), actions.get(), how.get(), argv.data(), envp.data());
        if (result == 0) return started;
        if (result != ENOENT && result != ENOTDIR && result != EACCES) fail(result, "weft: cannot run '" + words[0] + "'");
        if (result == EACCES) error = EACCES;
    }
    fail(error, "weft: cannot run '" + words[0] + "'");
}

} // namespace weft::rt
