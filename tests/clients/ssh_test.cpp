// SPDX-License-Identifier: Apache-2.0
// libssh2 in fibers, in its blocking mode, against sshd: commands, and files by SFTP.
#include "concurrent.hpp"
#include "programs.hpp"
#include "server.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <libssh2.h>
#include <libssh2_sftp.h>
#include <memory>
#include <netinet/in.h>
#include <pwd.h>
#include <string>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using namespace clients_test;

namespace {

class sshd {
public:
    sshd() {
        for (const std::string& key : {host_key_, user_key_})
            run({"ssh-keygen", "-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f", key}, place_);
        std::filesystem::copy_file(user_key_ + ".pub", place_ / "authorized_keys");
        if (::geteuid() == 0) std::filesystem::create_directories("/run/sshd"); // where it insists on it
        // A bash that is not the outermost reads none of its user's files, which may take any time.
        const std::string file = place_.write(
            "sshd_config", "ListenAddress 127.0.0.1:" + std::to_string(port_) + "\nHostKey " + host_key_ + "\nAuthorizedKeysFile " +
                               place_.path() +
                               "/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                               "PasswordAuthentication no\nMaxStartups 300\nMaxSessions 100\nUseDNS no\nSubsystem sftp internal-sftp\n"
                               "SetEnv SHLVL=2\n");
        server_ = std::make_unique<server>(words{find_program("sshd"), "-D", "-e", "-f", file}, port_, place_);
    }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] const std::string& key() const noexcept { return user_key_; }
    [[nodiscard]] const directory& place() const noexcept { return place_; }
    server& process() { return *server_; }

private:
    directory place_;
    std::string host_key_ = place_ / "host_key";
    std::string user_key_ = place_ / "user_key";
    std::uint16_t port_ = free_port();
    std::unique_ptr<server> server_;
};

/// A socket and a session on it.
class session {
public:
    explicit session(const sshd& to) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in where{};
        where.sin_family = AF_INET;
        where.sin_port = htons(to.port());
        where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) {
            ::close(fd_);
            throw std::runtime_error("connection refused");
        }
        ssh_ = libssh2_session_init();
        libssh2_session_set_blocking(ssh_, 1);
        const passwd* self = ::getpwuid(::geteuid());
        libssh2_session_method_pref(ssh_, LIBSSH2_METHOD_KEX, "ecdh-sha2-nistp256"); // the quick one: a hundred are made
        error_ = libssh2_session_handshake(ssh_, fd_);
        if (error_ == 0)
            error_ = libssh2_userauth_publickey_fromfile(ssh_, self->pw_name, (to.key() + ".pub").c_str(), to.key().c_str(), "");
    }
    ~session() {
        libssh2_session_free(ssh_);
        ::close(fd_);
    }
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    [[nodiscard]] LIBSSH2_SESSION* get() const noexcept { return ssh_; }
    /// Of its beginning: 0, or a code of libssh2's.
    [[nodiscard]] int error() const noexcept { return error_; }

    /// What the command prints, or libssh2's error.
    std::string execute(const std::string& command) {
        LIBSSH2_CHANNEL* c = libssh2_channel_open_session(ssh_);
        if (c == nullptr) return last_error();
        std::string out;
        ssize_t n = libssh2_channel_exec(c, command.c_str());
        if (n == 0) {
            char some[20000];
            while ((n = libssh2_channel_read(c, some, sizeof some)) > 0) out.append(some, static_cast<std::size_t>(n));
        }
        if (n < 0) out = last_error();
        libssh2_channel_free(c);
        return out;
    }

    std::string last_error() const { return "error " + std::to_string(libssh2_session_last_errno(ssh_)); }

private:
    int fd_;
    LIBSSH2_SESSION* ssh_ = nullptr;
    int error_ = 0;
};

/// Users without a login shell cannot be served by sshd.
bool has_no_shell() {
    const std::string shell = ::getpwuid(::geteuid())->pw_shell;
    if (!shell.ends_with("nologin") && !shell.ends_with("false")) return false;
    WARN("left out: this user has no login shell");
    return true;
}

struct library {
    library() { libssh2_init(0); }
    ~library() { libssh2_exit(); }
};

std::string big() {
    std::string text;
    for (int line = 0; text.size() < 10'000'000; ++line) text += "line " + std::to_string(line) + "\n";
    return text;
}

} // namespace

TEST_CASE("a hundred fibers execute a command by SSH at once", "[serial]") {
    if (has_no_shell()) return;
    const library used;
    const sshd to;
    std::vector<std::unique_ptr<session>> sessions;
    for (int i = 0; i < fibers; ++i) sessions.emplace_back();
    std::vector<weft::fiber<void>> all;
    for (auto& s : sessions) all.push_back(weft::spawn([&] { s = std::make_unique<session>(to); }));
    for (auto& f : all) f.get(60s);
    for (auto& s : sessions) REQUIRE(s->error() == 0);

    // A hundred shells are work for a machine, so what they wait for is not the clock but a lock, which the test lets go when all wait.
    const std::string mark = to.place().write("mark", ""), ready = to.place() / "ready";
    const int lock = ::open(mark.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(::flock(lock, LOCK_EX | LOCK_NB) == 0);
    int failures = 0, done = 0;
    all.clear();
    for (int i = 0; i < fibers; ++i)
        all.push_back(weft::spawn([&, i] {
            const std::string number = std::to_string(i);
            if (sessions[static_cast<std::size_t>(i)]->execute("echo >> " + ready + "; flock -s " + mark + " echo " + number) !=
                number + "\n")
                ++failures;
            ++done;
        }));
    wait_until(
        [&] {
            std::error_code missing;
            return std::filesystem::file_size(ready, missing) == fibers;
        },
        "all hundred commands run at the same time");
    CHECK(done == 0);
    ::close(lock);
    const auto took = time_of([&] {
        for (auto& f : all) f.get(60s);
    });
    CHECK(failures == 0);
    std::printf(
        "libssh2: %d fibers with a command each, all in flight; from the end of their wait to the last answer %lld ms\n", fibers,
        static_cast<long long>(took.count()));
}

TEST_CASE("big files go to sshd by SFTP and come back whole, and so does big output") {
    if (has_no_shell()) return;
    const library used;
    const sshd to;
    const std::string text = big();
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(weft::spawn([&, i] {
            session s(to);
            REQUIRE(s.error() == 0);
            const std::string path = to.place() / ("big-" + std::to_string(i));
            LIBSSH2_SFTP* sftp = libssh2_sftp_init(s.get());
            REQUIRE(sftp != nullptr);
            const auto open = [&](unsigned long how) {
                return libssh2_sftp_open_ex(
                    sftp, path.data(), static_cast<unsigned>(path.size()), how, LIBSSH2_SFTP_S_IRUSR, LIBSSH2_SFTP_OPENFILE);
            };
            LIBSSH2_SFTP_HANDLE* file = open(LIBSSH2_FXF_WRITE | LIBSSH2_FXF_CREAT | LIBSSH2_FXF_TRUNC);
            REQUIRE(file != nullptr);
            for (std::size_t sent = 0; sent < text.size();) {
                const ssize_t n = libssh2_sftp_write(file, text.data() + sent, text.size() - sent);
                REQUIRE(n > 0);
                sent += static_cast<std::size_t>(n);
            }
            CHECK(libssh2_sftp_close(file) == 0);

            std::string back;
            file = open(LIBSSH2_FXF_READ);
            char some[30000];
            for (ssize_t n = 0; (n = libssh2_sftp_read(file, some, sizeof some)) > 0;) back.append(some, static_cast<std::size_t>(n));
            CHECK((back == text));
            libssh2_sftp_close(file);
            libssh2_sftp_shutdown(sftp);
            CHECK((s.execute("cat " + path) == text));
        }));
    for (auto& f : all) f.get(60s);
}

TEST_CASE("a command by SSH is cancelled by a timeout or a kill, and its session can be closed") {
    if (has_no_shell()) return;
    const library used;
    const sshd to;
    weft::spawn([&] {
        session s(to);
        std::string said;
        CHECK(
            time_of([&] { CHECK_THROWS_AS(weft::with_timeout(200ms, [&] { said = s.execute("exec cat"); }), weft::timeout_error); }) < 2s);
        CHECK(said.starts_with("error "));
    }).get(patience);
    weft::spawn([&] { // libssh2's own
        session s(to);
        libssh2_session_set_timeout(s.get(), 300);
        const auto took = time_of([&] { CHECK(s.execute("exec cat") == "error " + std::to_string(LIBSSH2_ERROR_TIMEOUT)); });
        CHECK(took >= 290ms);
        CHECK(took < 5s);
    })
        .get(patience);

    bool closed = false;
    auto f = weft::spawn([&] {
        struct note {
            bool& closed;
            ~note() { closed = true; }
        } const at_end{closed};
        session s(to);
        (void)s.execute("echo > " + (to.place() / "began") + "; exec cat");
        weft::this_fiber::yield();
        FAIL("the kill was lost");
    });
    wait_until([&] { return std::filesystem::exists(to.place() / "began"); }, "the command runs");
    CHECK(time_of([&] { CHECK(f.kill(patience)); }) < 2s);
    CHECK(closed);
}

TEST_CASE("an sshd that restarts is an error of libssh2, then a session again") {
    if (has_no_shell()) return;
    const library used;
    sshd to;
    const std::string own = to.place() / "pids";
    std::vector<weft::fiber<std::string>> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(weft::spawn([&] {
            session s(to);
            return s.error() == 0 ? s.execute("echo $PPID >> " + own + "; exec cat") : std::string("no session");
        }));
    std::vector<int> pids;
    wait_until(
        [&] {
            pids.clear();
            std::ifstream in(own);
            for (int pid = 0; in >> pid;) pids.push_back(pid);
            return pids.size() == 5;
        },
        "the commands run");
    to.process().stop();
    for (const int pid : pids) ::kill(pid, SIGKILL); // a connection has a process of its own
    for (auto& f : all) CHECK(f.get(patience).starts_with("error "));
    weft::spawn([&] { CHECK_THROWS(session(to)); }).get(patience);
    to.process().start();
    weft::spawn([&] { CHECK(session(to).execute("echo again") == "again\n"); }).get(patience);
}

TEST_CASE("ssh, scp and sftp do under weft what they do without") {
    if (has_no_shell()) return;
    const sshd to;
    to.place().write("big", big());
    const std::string options =
        " -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -i " + to.key();
    const std::string port = std::to_string(to.port()), place = to.place().path();
    same_under_weft("timeout 60 $WEFT ssh" + options + " -p " + port + " 127.0.0.1 'cat " + place + "/big' | md5sum");
    same_under_weft("timeout 60 $WEFT ssh" + options + " -p " + port + " 127.0.0.1 md5sum < " + place + "/big");
    same_under_weft("timeout 60 $WEFT ssh" + options + " -p " + port + " 127.0.0.1 'echo out; echo err >&2; exit 3' | sort; [ $? -eq 0 ]");
    same_under_weft(
        "timeout 60 $WEFT scp -q" + options + " -P " + port + " 127.0.0.1:" + place + "/big " + place + "/back && md5sum < " + place +
        "/back");
    same_under_weft("echo 'ls " + place + "/big' | timeout 60 $WEFT sftp -q" + options + " -P " + port + " -b - 127.0.0.1");
}
