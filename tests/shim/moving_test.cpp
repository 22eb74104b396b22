// SPDX-License-Identifier: Apache-2.0
// What moves bytes within the kernel, takes locks on files and opens FIFOs: the other fibers run on meanwhile, kill and time-outs
// reach in, a close wakes, and no byte is lost.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <vector>

using namespace shim_test;

namespace {

char text[256];

/// A directory that goes with its files.
struct place {
    place() {
        char name[] = "/tmp/weft-moving-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~place() { std::filesystem::remove_all(path); }
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    [[nodiscard]] std::string operator/(const char* name) const { return path + "/" + name; }
    std::string path;
};

/// A file with so many bytes, each of which tells its place.
int numbered_file(const place& where, std::size_t size) {
    const int fd = ::open((where / "numbers").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    std::vector<char> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    REQUIRE(::write(fd, bytes.data(), size) == static_cast<ssize_t>(size));
    REQUIRE(::lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

bool is_numbered(const std::vector<char>& bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
        if (bytes[i] != static_cast<char>(i * 7 + i / 251)) return false;
    return true;
}

std::vector<char> read_all(int fd) {
    std::vector<char> all, part(30000);
    for (ssize_t n; (n = ::read(fd, part.data(), part.size())) > 0;) all.insert(all.end(), part.begin(), part.begin() + n);
    return all;
}

void fill_pipe(int fd) {
    const std::vector<char> capacity(65536);
    REQUIRE(::write(fd, capacity.data(), capacity.size()) == 65536);
}

/// It blocked for the time it should have, and the ticker ran for most of it.
void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

/// A call that would wait for ever, in a fiber that is killed: it must fail, and soon.
void check_kill(const char* name, const std::function<long()>& call) {
    INFO(name);
    ticker t;
    long result = 0;
    int error = 0;
    auto f = weft::spawn([&] {
        errno = 0;
        result = call();
        error = errno;
    });
    weft::this_fiber::sleep_for(20ms);
    CHECK_FALSE(f.ready());
    const int before = t.ticks();
    f.kill();
    CHECK(f.join(patience));
    CHECK(result == -1);
    CHECK(error == ECANCELED);
    weft::this_fiber::sleep_for(5ms);
    CHECK(t.ticks() > before);
}

/// The same in a time-out scope.
void check_timeout(const char* name, const std::function<long()>& call) {
    INFO(name);
    long result = 0;
    int error = 0;
    const auto start = std::chrono::steady_clock::now();
    auto f = weft::spawn([&] {
        try {
            const weft::timeout limit(40ms);
            errno = 0;
            result = call();
            error = errno;
            weft::this_fiber::yield();
        } catch (const weft::timeout_error&) {
        }
    });
    CHECK(f.join(patience));
    CHECK(std::chrono::steady_clock::now() - start >= 35ms);
    CHECK(result == -1);
    CHECK(error == ETIMEDOUT);
}

} // namespace

TEST_CASE("a large sendfile to a slow reader lets other fibers run and loses nothing") {
    const place here;
    constexpr std::size_t size = 3'000'000;
    const int file = numbered_file(here, size);
    for (const bool to_pipe : {false, true}) {
        INFO(to_pipe);
        REQUIRE(::lseek(file, 0, SEEK_SET) == 0);
        pair p = to_pipe ? pair::pipe() : pair::stream();
        std::vector<char> got;
        const outcome o = in_fiber(
            [&] {
                long total = 0;
                for (ssize_t n; (n = ::sendfile(p[1], file, nullptr, size)) > 0;) total += n;
                p.close(1);
                return total;
            },
            [&] { got = read_all(p[0]); });
        CHECK(o.result == static_cast<long>(size));
        CHECK(got.size() == size);
        CHECK(is_numbered(got));
        CHECK(::lseek(file, 0, SEEK_CUR) == static_cast<off_t>(size));
        check_blocked(o);
    }
    ::close(file);
}

TEST_CASE("a proxy made of splices passes everything on") {
    const place here;
    constexpr std::size_t size = 1'000'000;
    const int file = numbered_file(here, size);
    pair from = pair::stream(), through = pair::pipe(), to = pair::stream();
    std::vector<char> got;
    auto sender = weft::spawn([&] {
        while (::sendfile(from[1], file, nullptr, 100'000) > 0) weft::this_fiber::yield();
        from.close(1);
    });
    auto proxy = weft::spawn([&] {
        for (ssize_t n; (n = ::splice(from[0], nullptr, through[1], nullptr, 1 << 16, 0)) > 0;)
            for (ssize_t m = 0; n > 0; n -= m)
                if ((m = ::splice(through[0], nullptr, to[1], nullptr, static_cast<std::size_t>(n), 0)) <= 0) return;
        to.close(1);
    });
    auto receiver = weft::spawn([&] { got = read_all(to[0]); });
    CHECK(weft::joinall({sender, proxy, receiver}, patience).size() == 3);
    CHECK(got.size() == size);
    CHECK(is_numbered(got));
    ::close(file);
}

TEST_CASE("splice, tee and vmsplice let other fibers run") {
    pair s = pair::stream(), p = pair::pipe(), q = pair::pipe();
    iovec part{text, 10};
    const auto write_to = [](int fd) {
        return [fd] { CHECK(::write(fd, "0123456789", 10) == 10); };
    };
    const auto drained = [](int fd) { CHECK(::read(fd, text, sizeof text) == 10); };
    check_blocked(in_fiber([&] { return ::splice(p[0], nullptr, q[1], nullptr, 100, 0); }, write_to(p[1])));
    drained(q[0]);
    check_blocked(in_fiber([&] { return ::splice(s[0], nullptr, q[1], nullptr, 100, 0); }, write_to(s[1])));
    drained(q[0]);
    check_blocked(in_fiber([&] { return ::splice(p[0], nullptr, s[0], nullptr, 100, 0); }, write_to(p[1])));
    drained(s[1]);
    check_blocked(in_fiber([&] { return ::tee(p[0], q[1], 100, 0); }, write_to(p[1])));
    drained(p[0]);
    drained(q[0]);
    fill_pipe(q[1]);
    const outcome o = in_fiber([&] { return ::vmsplice(q[1], &part, 1, 0); },
                               [&] {
                                   std::vector<char> sink(65536);
                                   CHECK(::read(q[0], sink.data(), sink.size()) == 65536);
                               });
    CHECK(o.result == 10);
    check_blocked(o);
    fill(s[0]);
    CHECK(::write(p[1], "x", 1) == 1);
    const outcome full = in_fiber([&] { return ::splice(p[0], nullptr, s[0], nullptr, 100, 0); },
                                  [&] { while (::recv(s[1], text, sizeof text, MSG_DONTWAIT) > 0) {} });
    CHECK(full.result == 1);
    check_blocked(full);
}

TEST_CASE("several messages by one call let other fibers run") {
    pair d = pair::datagram();
    iovec parts[3] = {{text, 10}, {text + 10, 10}, {text + 20, 10}};
    mmsghdr all[3] = {};
    for (int i = 0; i < 3; ++i) {
        all[i].msg_hdr.msg_iov = &parts[i];
        all[i].msg_hdr.msg_iovlen = 1;
    }
    const outcome o = in_fiber([&] { return long{::recvmmsg(d[0], all, 3, 0, nullptr)}; },
                               [&] {
                                   for (const char* m : {"one", "two", "three"}) {
                                       CHECK(::send(d[1], m, std::strlen(m), 0) > 0);
                                       weft::this_fiber::sleep_for(5ms);
                                   }
                               });
    CHECK(o.result == 3);
    CHECK(all[2].msg_len == 5);
    check_blocked(o);
    fill(d[0]);
    const outcome sent = in_fiber([&] { return long{::sendmmsg(d[0], all, 3, 0)}; },
                                  [&] { while (::recv(d[1], text, sizeof text, MSG_DONTWAIT) >= 0) {} });
    CHECK(sent.result == 3);
    check_blocked(sent);
}

TEST_CASE("locks on files let other fibers run") {
    const place here;
    const std::string path = here / "lock";
    const int mine = ::open(path.c_str(), O_RDWR | O_CREAT, 0600), other = ::open(path.c_str(), O_RDWR);
    REQUIRE(::flock(other, LOCK_EX) == 0);
    const outcome o = in_fiber([&] { return long{::flock(mine, LOCK_EX)}; }, [&] { CHECK(::flock(other, LOCK_UN) == 0); });
    CHECK(o.result == 0);
    CHECK(o.error == 0);
    check_blocked(o);

    struct flock whole {};
    whole.l_type = F_WRLCK;
    REQUIRE(::fcntl(other, F_OFD_SETLK, &whole) == 0);
    const outcome description = in_fiber([&] { return long{::fcntl(mine, F_OFD_SETLKW, &whole)}; },
                                         [&] {
                                             struct flock none {};
                                             none.l_type = F_UNLCK;
                                             CHECK(::fcntl(other, F_OFD_SETLK, &none) == 0);
                                         });
    CHECK(description.result == 0);
    check_blocked(description);
    struct flock none {};
    none.l_type = F_UNLCK;
    REQUIRE(::fcntl(mine, F_OFD_SETLK, &none) == 0);

    // A record lock is another process's.
    int told[2];
    REQUIRE(::pipe(told) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        if (::fcntl(other, F_SETLK, &whole) != 0 || ::write(told[1], "x", 1) != 1) ::_exit(1);
        ::usleep(100'000);
        ::_exit(0);
    }
    REQUIRE(::read(told[0], text, 1) == 1);
    const outcome record = in_fiber([&] { return long{::lockf(mine, F_LOCK, 0)}; });
    CHECK(record.result == 0);
    check_blocked(record);
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    // The lock is the process's, whichever kernel thread took it.
    const pid_t second = ::fork();
    if (second == 0) ::_exit(::fcntl(other, F_SETLK, &whole) == -1 && errno == EAGAIN ? 0 : 1);
    CHECK(::waitpid(second, &status, 0) == second);
    CHECK(status == 0);
    for (const int fd : {mine, other, told[0], told[1]}) ::close(fd);
}

TEST_CASE("opening a FIFO lets other fibers run, also the one at the other end") {
    const place here;
    const std::string path = here / "fifo";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    int other = -1;
    const outcome o = in_fiber([&] { return long{::open(path.c_str(), O_RDONLY)}; },
                               [&] { other = ::open(path.c_str(), O_WRONLY); });
    CHECK(o.result >= 0);
    CHECK(other >= 0);
    check_blocked(o);
    CHECK(::write(other, "fifo", 4) == 4);
    CHECK(::read(static_cast<int>(o.result), text, 10) == 4);
    ::close(other);
    ::close(static_cast<int>(o.result));
}

TEST_CASE("a kill and a time-out reach into every one of them") {
    const place here;
    const std::string fifo = here / "fifo", path = here / "lock";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const int mine = ::open(path.c_str(), O_RDWR | O_CREAT, 0600), other = ::open(path.c_str(), O_RDWR);
    REQUIRE(::flock(other, LOCK_EX) == 0);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    REQUIRE(::fcntl(other, F_OFD_SETLK, &whole) == 0);
    const int file = numbered_file(here, 1000);
    pair s = pair::stream(), full = pair::stream(), p = pair::pipe(), q = pair::pipe(), d = pair::datagram();
    fill(full[0]);
    pair stuffed = pair::pipe();
    fill_pipe(stuffed[1]);
    pair ready = pair::pipe();
    CHECK(::write(ready[1], "x", 1) == 1);
    iovec part{text, 10};
    mmsghdr one{};
    one.msg_hdr.msg_iov = &part;
    one.msg_hdr.msg_iovlen = 1;
    const std::vector<std::pair<const char*, std::function<long()>>> calls{
        {"open", [&] { return long{::open(fifo.c_str(), O_RDONLY)}; }},
        {"flock", [&] { return long{::flock(mine, LOCK_EX)}; }},
        {"fcntl", [&] { return long{::fcntl(mine, F_OFD_SETLKW, &whole)}; }},
        {"sendfile to a socket", [&] { return ::sendfile(full[0], file, nullptr, 100); }},
        {"sendfile to a pipe", [&] { return ::sendfile(stuffed[1], file, nullptr, 100); }},
        {"splice between pipes", [&] { return ::splice(p[0], nullptr, q[1], nullptr, 100, 0); }},
        {"splice from a socket", [&] { return ::splice(s[0], nullptr, q[1], nullptr, 100, 0); }},
        {"splice to a socket", [&] { return ::splice(ready[0], nullptr, full[0], nullptr, 100, 0); }},
        {"tee", [&] { return ::tee(p[0], q[1], 100, 0); }},
        {"vmsplice", [&] { return ::vmsplice(stuffed[1], &part, 1, 0); }},
        {"recvmmsg", [&] { return long{::recvmmsg(d[0], &one, 1, 0, nullptr)}; }},
        {"preadv2", [&] { return ::preadv2(p[0], &part, 1, -1, 0); }},
        {"pwritev2", [&] { return ::pwritev2(stuffed[1], &part, 1, -1, 0); }},
    };
    for (const auto& [name, call] : calls) {
        check_kill(name, call);
        check_timeout(name, call);
    }
    // What only the disk keeps waiting succeeds in spite of it.
    auto f = weft::spawn([&] { return ::fsync(file) == 0 && ::fdatasync(file) == 0 ? 0 : errno; });
    CHECK(f.get(patience) == 0);
    for (const int fd : {mine, other, file}) ::close(fd);
}

TEST_CASE("close_range wakes who waits, and leaves weft's own descriptors alone") {
    pair s = pair::stream(), p = pair::pipe();
    const int fd = ::fcntl(s[0], F_DUPFD, 300), second = ::fcntl(p[0], F_DUPFD, 301);
    int bad = 0;
    auto a = weft::spawn([&] { bad += ::recv(fd, text, 10, 0) == -1 && errno == EBADF; });
    auto b = weft::spawn([&] { bad += ::read(second, text, 10) == -1 && errno == EBADF; });
    weft::this_fiber::sleep_for(20ms);
    CHECK(::close_range(300, ~0U, 0) == 0);
    CHECK(weft::joinall({a, b}, patience).size() == 2);
    CHECK(bad == 2);
    ::closefrom(300);
    const outcome o = in_fiber([&] { return ::recv(s[0], text, 10, 0); }, [&] { CHECK(::send(s[1], "alive", 5, 0) == 5); });
    CHECK(o.result == 5);
    check_blocked(o);
}

TEST_CASE("a watched directory lets other fibers run") {
    const place here;
    const int fd = ::inotify_init1(0);
    REQUIRE(::inotify_add_watch(fd, here.path.c_str(), IN_CREATE) >= 0);
    const outcome o = in_fiber([&] { return ::read(fd, text, sizeof text); },
                               [&] { ::close(::creat((here / "file").c_str(), 0600)); });
    CHECK(o.result > 0);
    check_blocked(o);
    ::close(fd);
}

TEST_CASE("many fibers wait for one lock, each has it once") {
    const place here;
    const std::string path = here / "lock";
    ::close(::open(path.c_str(), O_RDWR | O_CREAT, 0600));
    int inside = 0, most = 0, done = 0;
    std::vector<weft::any_fiber> all;
    for (int i = 0; i < 20; ++i)
        all.push_back(weft::spawn([&] {
            const int fd = ::open(path.c_str(), O_RDWR);
            if (::flock(fd, LOCK_EX) != 0) return;
            most = std::max(most, ++inside);
            ::usleep(1000);
            --inside;
            ++done;
            ::close(fd);
        }));
    CHECK(weft::joinall(all, patience).size() == all.size());
    CHECK(most == 1);
    CHECK(done == 20);
}
