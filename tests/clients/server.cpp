// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ; // NOLINT

namespace clients_test {

namespace {

using namespace std::chrono_literals;

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return where;
}

std::string read_all(const std::string& path) {
    std::ifstream in(path);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

/// setpriv gives the program its user, and a death that follows ours: that outlives an exec, which prctl before a change of user does not.
words with_user(const words& command, user who) {
    words all{find_program("setpriv"), "--pdeathsig", "KILL"};
    if (who == user::nobody && ::geteuid() == 0)
        for (const char* word : {"--reuid=nobody", "--regid=nogroup", "--clear-groups"}) all.emplace_back(word);
    all.emplace_back("--");
    all.insert(all.end(), command.begin(), command.end());
    all[all.size() - command.size()] = find_program(command.front());
    return all;
}

pid_t spawn_program(const words& command, const std::string& log, user who) {
    words all = with_user(command, who);
    std::vector<char*> arguments;
    for (auto& word : all) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    // A Ctrl-C is for the test, and the kernel's signals are as a shell leaves them.
    sigset_t every;
    sigfillset(&every);
    sigdelset(&every, SIGKILL);
    sigdelset(&every, SIGSTOP);
    posix_spawnattr_setsigdefault(&attributes, &every);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, all.front().c_str(), &actions, &attributes, arguments.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error(command.front() + ": " + std::strerror(error));
    return pid;
}

/// Databases wait for the disk at each step of their making; memory is as good for a test, where there is enough of it.
std::filesystem::path scratch() {
    constexpr std::uint64_t enough = 1U << 30U;
    const char* given = std::getenv("TMPDIR");
    struct statvfs memory {};
    const bool room = ::statvfs("/dev/shm", &memory) == 0 && memory.f_bavail * memory.f_frsize >= enough;
    return given == nullptr && room && ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path();
}

} // namespace

std::uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where = loopback(0);
    socklen_t size = sizeof where;
    auto* address = reinterpret_cast<sockaddr*>(&where);
    const bool good = fd >= 0 && ::bind(fd, address, size) == 0 && ::getsockname(fd, address, &size) == 0;
    if (fd >= 0) ::close(fd);
    if (!good) fail("no free port");
    return ntohs(where.sin_port);
}

directory::directory() {
    std::string pattern = (scratch() / "weft-clients-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) fail("mkdtemp");
    path_ = pattern;
    if (::geteuid() != 0) return;
    const passwd* nobody = ::getpwnam("nobody");
    if (nobody == nullptr || ::chown(path_.c_str(), nobody->pw_uid, nobody->pw_gid) != 0) fail("chown");
}

directory::~directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string directory::write(const std::string& name, const std::string& text) const {
    const std::string path = *this / name;
    std::ofstream(path) << text;
    if (::chmod(path.c_str(), 0600) != 0) fail("chmod");
    return path;
}

std::string find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) return name;
    const char* given = std::getenv("PATH");
    std::istringstream places(std::string(given == nullptr ? "" : given) + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/postgresql/15/bin");
    for (std::string place; std::getline(places, place, ':');)
        if (const std::string path = place + "/" + name; !place.empty() && ::access(path.c_str(), X_OK) == 0) return path;
    throw std::runtime_error("not installed: " + name + " (tests/packages names what the tests need)");
}

program::program(const words& command, const std::string& log, user who) : pid_(spawn_program(command, log, who)) {}

bool program::runs() {
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
}

void program::end(int with_signal) {
    if (!runs()) return;
    ::kill(pid_, with_signal);
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (runs()) {
        if (std::chrono::steady_clock::now() > until) ::kill(pid_, SIGKILL);
        std::this_thread::sleep_for(1ms);
    }
}

void program::signal(int number) {
    if (runs()) ::kill(pid_, number);
}

void server::signal(int number) {
    program_->signal(number);
}

void run(const words& command, const directory& in, user who) {
    const std::string log = in / "run.log";
    std::filesystem::remove(log);
    const pid_t pid = spawn_program(command, log, who);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) throw std::runtime_error(command.front() + " failed: " + read_all(log));
}

server::server(words command, std::uint16_t port, const directory& in, user who)
    : command_(std::move(command)), port_(port), log_(in / "server.log"), who_(who) {
    start();
}

void server::start() {
    program_ = std::make_unique<program>(command_, log_, who_);
    wait_until(
        [this] {
            if (!program_->runs()) throw std::runtime_error(command_.front() + " ended: " + read_all(log_));
            return accepts(port_);
        },
        command_.front() + " accepts on its port");
}

void server::stop(int with_signal) {
    program_->end(with_signal);
    program_.reset();
}

void wait_until(const std::function<bool()>& condition, const std::string& what) {
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) throw std::runtime_error("not within 30 s: " + what);
        std::this_thread::sleep_for(5ms);
    }
}

bool accepts(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in where = loopback(port);
    const bool good = ::connect(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
    ::close(fd);
    return good;
}

} // namespace clients_test
