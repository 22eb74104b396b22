// SPDX-License-Identifier: Apache-2.0
#include "work/start_program.hpp"

#include "work/exec_child.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

namespace weft::rt {

namespace {

[[noreturn]] void fail(int error, const std::string& what) { throw std::system_error(error, std::generic_category(), what); }

bool blocks_all(const sigset_t& mask) noexcept {
    for (int s = 1; s < 32; ++s)
        if (s != SIGKILL && s != SIGSTOP && sigismember(&mask, s) == 0) return false;
    return true;
}

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
    void add_to(exec_plan& plan) const noexcept {
        for (int i = 0; i < 3; ++i) {
            plan.streams[i] = sources_[i];
            plan.null_streams[i] = how_[i] == stdio_choice::kind::devnull;
        }
        plan.errors_to_output = how_[2] == stdio_choice::kind::to_stdout;
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

// --- Whom it runs as ---

template <class Entry, class Find>
long look_up(const process_identity& who, const char* what, Find find) {
    if (!who.is_name()) {
        if (who.number() < 0) throw std::invalid_argument(std::string("weft: no ") + what + " for a program");
        return who.number();
    }
    for (std::vector<char> room(1024);; room.resize(room.size() * 4)) {
        Entry entry, *found = nullptr;
        const int error = find(who.name().c_str(), &entry, room.data(), room.size(), &found);
        if (error == ERANGE) continue;
        if (error != 0 && error != ENOENT) fail(error, std::string("weft: the ") + what + " '" + who.name() + "' for a program");
        if (found == nullptr) throw std::invalid_argument(std::string("weft: no ") + what + " '" + who.name() + "'");
        if constexpr (std::is_same_v<Entry, passwd>) return entry.pw_uid;
        else return entry.gr_gid;
    }
}
long user_of(const process_identity& who) { return look_up<passwd>(who, "user", ::getpwnam_r); }
long group_of(const process_identity& who) { return look_up<::group>(who, "group", ::getgrnam_r); }

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

    std::vector<int> passed = options.pass_fds;
    std::sort(passed.begin(), passed.end());
    for (const int fd : passed)
        if (::fcntl(fd, F_GETFD) < 0) fail(errno, "weft: a descriptor for a program");
    std::vector<gid_t> groups;
    if (options.extra_groups)
        for (const process_identity& g : *options.extra_groups) groups.push_back(static_cast<gid_t>(group_of(g)));
    const std::vector<std::string> places = places_of(words[0], variables);
    const std::vector<char*> place_names = pointers(places);

    started_program started;
    const standard_streams streams(options, started);
    exec_plan plan{.places = place_names.data(), .arguments = argv.data(), .environment = envp.data()};
    streams.add_to(plan);
    owned_fd folder;
    if (!options.cwd.empty()) {
        const int fd = ::open(options.cwd.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        folder = above_standard(fd, ("weft: the directory '" + options.cwd + "' for a program").c_str());
        plan.folder = folder.get();
    }
    plan.passed = passed.data();
    plan.passed_count = passed.size();
    plan.close_others = options.close_fds;
    plan.umask = options.umask;
    plan.new_session = options.new_session;
    plan.process_group = options.process_group;
    plan.restore_signals = options.restore_signals;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &plan.mask);      // libc's: a green thread has a mask of its own
    if (blocks_all(plan.mask)) sigemptyset(&plan.mask);     // a helper thread's
    plan.set_groups = options.extra_groups.has_value();
    plan.groups = groups.data();
    plan.group_count = groups.size();
    if (options.group) plan.group = group_of(*options.group);
    if (options.user) plan.user = user_of(*options.user);

    const exec_child made = start_exec_child(plan);
    if (made.error != 0) fail(made.error, "weft: cannot run '" + words[0] + "'");
    started.pid = made.pid;
    started.pidfd.reset(made.pidfd);
    return started;
}

} // namespace weft::rt
