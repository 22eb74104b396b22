// SPDX-License-Identifier: Apache-2.0
// Buffered files of fibers: what waits lets the others run, a FILE is one fiber's at a time, and what ends a fiber reaches into it.
#include "ticker.hpp"

#include <catch2/catch.hpp>
#include <weft/weft.hpp>


#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <pwd.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <sys/wait.h>

using namespace shim_test;

namespace {

struct closes_file {
    void operator()(FILE* f) const noexcept { std::fclose(f); }
};
using file = std::unique_ptr<FILE, closes_file>;

file open_file(int fd, const char* mode) { return file(::fdopen(::dup(fd), mode)); }

void put(int fd, const std::string& text) { CHECK(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size())); }

void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

char text[4096];

/// Input calls that wait for "12 line\n"; each says how many bytes or items it got.
std::vector<std::pair<const char*, std::function<long(FILE*)>>> readers() {
    return {
        {"fgets", [](FILE* f) { return ::fgets(text, sizeof text, f) == text ? static_cast<long>(std::strlen(text)) : -1; }},
        {"fread", [](FILE* f) { return static_cast<long>(::fread(text, 1, 8, f)); }},
        {"fgetc", [](FILE* f) { return long{::fgetc(f) == '1' ? 8 : -1}; }},
        {"getc", [](FILE* f) { return long{::getc(f) == '1' ? 8 : -1}; }},
        {"getc_unlocked", [](FILE* f) { return long{getc_unlocked(f) == '1' ? 8 : -1}; }},
        {"getline", [](FILE* f) {
             char* line = nullptr;
             std::size_t size = 0;
             const long n = ::getline(&line, &size, f);
             std::free(line);
             return n;
         }},
        {"getdelim", [](FILE* f) {
             char* line = nullptr;
             std::size_t size = 0;
             const long n = ::getdelim(&line, &size, 'e', f);
             std::free(line);
             return n + 1;
         }},
        {"fscanf", [](FILE* f) {
             int n = 0;
             return ::fscanf(f, "%d %15s", &n, text) == 2 && n == 12 ? 8L : -1L;
         }},
        {"fgetwc", [](FILE* f) { return ::fgetwc(f) == L'1' ? 8L : -1L; }},
        {"fgetws", [](FILE* f) {
             wchar_t line[32];
             return ::fgetws(line, 32, f) == line ? static_cast<long>(std::wcslen(line)) : -1L;
         }},
        {"fwscanf", [](FILE* f) {
             int n = 0;
             return ::fwscanf(f, L"%d", &n) == 1 && n == 12 ? 8L : -1L;
         }},
    };
}

/// Output calls that write 5 bytes to an unbuffered FILE.
std::vector<std::pair<const char*, std::function<long(FILE*)>>> writers() {
    return {
        {"fputs", [](FILE* f) { return ::fputs("12345", f) >= 0 ? 5L : -1L; }},
        {"fwrite", [](FILE* f) { return static_cast<long>(::fwrite("12345", 1, 5, f)); }},
        {"fprintf", [](FILE* f) { return static_cast<long>(::fprintf(f, "%d", 12345)); }},
        {"fputc", [](FILE* f) { return ::fputc('1', f) == '1' ? 5L : -1L; }},
        {"dprintf", [](FILE* f) { return static_cast<long>(::dprintf(::fileno(f), "%d", 12345)); }},
        {"fputws", [](FILE* f) { return ::fputws(L"12345", f) >= 0 ? 5L : -1L; }},
        {"fwprintf", [](FILE* f) { return static_cast<long>(::fwprintf(f, L"%d", 12345)); }},
        {"fflush", [](FILE* f) {
             char buffer[64];
             ::setvbuf(f, buffer, _IOFBF, sizeof buffer);
             const bool put = ::fputs("12345", f) >= 0;
             const int flushed = ::fflush(f);
             ::setvbuf(f, nullptr, _IONBF, 0);
             return put && flushed == 0 ? 5L : -1L;
         }},
    };
}

} // namespace

TEST_CASE("input calls let other fibers run") {
    for (const auto& [name, call] : readers()) {
        for (const bool stream : {false, true}) {
            INFO(name << (stream ? " on a socket" : " on a pipe"));
            pair p = stream ? pair::stream() : pair::pipe();
            const file f = open_file(p[0], "r");
            const outcome o = in_fiber([&] { return call(f.get()); }, [&] { put(p[1], "12 line\n"); p.close(1); });
            CHECK(o.result == 8);
            CHECK(o.error == 0);
            check_blocked(o);
        }
    }
}

TEST_CASE("output calls let other fibers run") {
    for (const auto& [name, call] : writers()) {
        INFO(name);
        pair p = pair::stream();
        const file f = open_file(p[0], "w");
        ::setvbuf(f.get(), nullptr, _IONBF, 0);
        fill(p[0]);
        const outcome o = in_fiber([&] { return call(f.get()); },
                                   [&] { while (::recv(p[1], text, sizeof text, MSG_DONTWAIT) > 0) {} });
        CHECK(o.result == 5);
        CHECK(o.error == 0);
        check_blocked(o);
    }
}

TEST_CASE("fifty fibers talk by fgets and fprintf, each on its own socket") {
    constexpr int talkers = 50, lines = 200;
    std::vector<weft::fiber<int>> fibers;
    for (int i = 0; i < talkers; ++i) {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        fibers.push_back(weft::spawn([fd = fds[0], i] {
            const file out = open_file(fd, "w"), in(::fdopen(fd, "r"));
            int right = 0;
            for (int n = 0; n < lines; ++n) {
                ::fprintf(out.get(), "question %d of %d\n", n, i);
                ::fflush(out.get());
                char line[100];
                int a = 0, b = 0;
                if (::fgets(line, sizeof line, in.get()) != nullptr && std::sscanf(line, "answer %d of %d", &a, &b) == 2 && a == n && b == i)
                    ++right;
            }
            return right;
        }));
        fibers.push_back(weft::spawn([fd = fds[1]] {
            const file out = open_file(fd, "w"), in(::fdopen(fd, "r"));
            int a = 0, b = 0, n = 0;
            while (::fscanf(in.get(), " question %d of %d", &a, &b) == 2) {
                ::fprintf(out.get(), "answer %d of %d\n", a, b);
                ::fflush(out.get());
                ++n;
            }
            return n;
        }));
    }
    for (auto& f : fibers) CHECK(f.get(patience) == lines);
}

TEST_CASE("two fibers on one FILE never tear a line") {
    pair p = pair::pipe();
    const file in = open_file(p[0], "r"), out = open_file(p[1], "w");
    p.close(1);
    constexpr int lines = 3000;
    const auto write_lines = [&](char letter) {
        const std::string line(60, letter);
        for (int i = 0; i < lines; ++i) {
            ::fprintf(out.get(), "%s", line.c_str());
            if (i % 7 == 0) ::fflush(out.get());
        }
    };
    std::map<std::string, int> seen;
    const auto read_lines = [&] {
        char line[200];
        while (::fgets(line, 61, in.get()) != nullptr) ++seen[line];
    };
    auto a = weft::spawn(write_lines, 'a'), b = weft::spawn(write_lines, 'b');
    auto c = weft::spawn(read_lines), d = weft::spawn(read_lines);
    REQUIRE(a.join(patience));
    REQUIRE(b.join(patience));
    REQUIRE(::fflush(out.get()) == 0);
    const_cast<file&>(out).reset();
    REQUIRE(c.join(patience));
    REQUIRE(d.join(patience));
    CHECK(seen.size() == 2);
    CHECK(seen[std::string(60, 'a')] == lines);
    CHECK(seen[std::string(60, 'b')] == lines);
}

TEST_CASE("flockfile keeps the other fibers out while its holder sleeps") {
    for (const bool regular : {false, true}) {
        INFO((regular ? "a regular file" : "a pipe"));
        pair p = pair::pipe();
        const file f = regular ? file(::tmpfile()) : open_file(p[1], "w");
        std::string order;
        bool held = false;
        auto holder = weft::spawn([&] {
            ::flockfile(f.get());
            ::flockfile(f.get()); // it nests
            held = true;
            ::fputs("one ", f.get());
            ::fflush(f.get());
            weft::this_fiber::sleep_for(blocking_time);
            ::funlockfile(f.get());
            weft::this_fiber::sleep_for(5ms);
            ::fprintf(f.get(), "%s ", "two");
            order += "holder ";
            ::funlockfile(f.get());
        });
        auto other = weft::spawn([&] {
            while (!held) weft::this_fiber::yield();
            CHECK(::ftrylockfile(f.get()) != 0);
            ::fprintf(f.get(), "%s ", "three");
            order += "other ";
        });
        auto third = weft::spawn([&] {
            while (!held) weft::this_fiber::yield();
            CHECK(::ferror(f.get()) == 0);
            order += "third ";
        });
        REQUIRE(holder.join(patience));
        REQUIRE(other.join(patience));
        REQUIRE(third.join(patience));
        CHECK(order.substr(0, 7) == "holder ");
        CHECK(order.size() == std::strlen("holder other third "));
        CHECK(::ftrylockfile(f.get()) == 0);
        CHECK(::ftrylockfile(f.get()) == 0);
        ::funlockfile(f.get());
        ::funlockfile(f.get());
        std::thread([&] {
            CHECK(::ftrylockfile(f.get()) == 0);
            ::funlockfile(f.get());
        }).join();
        ::fflush(f.get());
        if (regular) ::rewind(f.get());
        const long n = regular ? static_cast<long>(::fread(text, 1, 100, f.get())) : ::read(p[0], text, 100);
        CHECK(std::string(text, static_cast<std::size_t>(n)) == "one two three ");
    }
}

TEST_CASE("a kernel thread and fibers share a FILE") {
    pair p = pair::pipe();
    const file in = open_file(p[0], "r"), out = open_file(p[1], "w");
    p.close(1);
    constexpr int lines = 2000;
    const auto write_lines = [&](char letter) {
        const std::string line(60, letter);
        for (int i = 0; i < lines; ++i) {
            ::fputs(line.c_str(), out.get());
            if (i % 7 == 0) ::fflush(out.get());
        }
    };
    auto a = weft::spawn(write_lines, 'a'), b = weft::spawn(write_lines, 'b');
    std::thread c(write_lines, 'c');
    std::map<std::string, int> seen;
    auto reader = weft::spawn([&] {
        char line[200];
        for (int i = 0; i < 3 * lines && ::fgets(line, 61, in.get()) != nullptr; ++i) ++seen[line];
    });
    REQUIRE(a.join(patience));
    REQUIRE(b.join(patience));
    auto last = weft::spawn([&] {
        for (int i = 0; !reader.ready(); ++i) {
            ::fflush(out.get());
            weft::this_fiber::sleep_for(1ms);
        }
    });
    REQUIRE(reader.join(patience));
    c.join();
    REQUIRE(last.join(patience));
    CHECK(seen.size() == 3);
    for (const char letter : {'a', 'b', 'c'}) CHECK(seen[std::string(60, letter)] == lines);
}

TEST_CASE("a kill and a time-out reach into a FILE, and nothing is lost") {
    for (const bool kill : {true, false}) {
        INFO((kill ? "kill" : "time-out"));
        pair p = pair::pipe();
        const file f = open_file(p[0], "r");
        put(p[1], "first\nhalf");
        int error = 0;
        bool failed = false, flagged = false, more = false;
        auto reader = weft::spawn([&] {
            char* line = nullptr;
            std::size_t size = 0;
            CHECK(::getline(&line, &size, f.get()) == 6);
            const auto wait = [&] {
                errno = 0;
                failed = ::getc(f.get()) == 'h' && ::getc(f.get()) == 'a' && ::getc(f.get()) == 'l' && ::getc(f.get()) == 'f' &&
                         ::getc(f.get()) == EOF;
                error = errno;
                flagged = ::ferror(f.get()) != 0 && ::feof(f.get()) == 0;
                ::clearerr(f.get());
                more = ::ungetc('!', f.get()) == '!' && ::getc(f.get()) == '!';
            };
            if (kill) wait();
            else {
                const weft::timeout scope(20ms);
                wait();
            }
            std::free(line);
        });
        weft::this_fiber::sleep_for(10ms);
        if (kill) CHECK(reader.kill(patience));
        else CHECK(reader.join(patience));
        CHECK(failed);
        CHECK(error == (kill ? ECANCELED : ETIMEDOUT));
        CHECK(flagged);
        CHECK(more);
        put(p[1], " second\n");
        REQUIRE(::fgets(text, sizeof text, f.get()) != nullptr);
        CHECK(std::string(text) == " second\n");
    }
}

TEST_CASE("a killed fiber still prints what need not wait, and closes") {
    pair p = pair::stream();
    FILE* f = ::fdopen(::dup(p[0]), "w");
    fill(p[0]);
    int printed = 0, flushed = 0, flush_error = 0, closed = 0;
    auto writer = weft::spawn([&] {
        ::fputs("x", f);
        flushed = ::fflush(f);
        flush_error = errno;
        printed = ::fprintf(f, "%s", "more");
        closed = ::fclose(f);
    });
    weft::this_fiber::sleep_for(10ms);
    CHECK(writer.kill(patience));
    CHECK(flushed == EOF);
    CHECK(flush_error == ECANCELED);
    CHECK(printed == 4);
    CHECK(closed == EOF); // "more" could not be written
}

TEST_CASE("fclose waits for the fiber that reads") {
    pair p = pair::pipe();
    FILE* f = ::fdopen(::dup(p[0]), "r");
    std::string order;
    auto reader = weft::spawn([&] {
        order += ::fgets(text, sizeof text, f) == text ? "line " : "null ";
    });
    auto closer = weft::spawn([&] {
        CHECK(::fclose(f) == 0);
        order += "closed";
    });
    weft::this_fiber::sleep_for(20ms);
    CHECK(order.empty());
    put(p[1], "line\n");
    REQUIRE(reader.join(patience));
    REQUIRE(closer.join(patience));
    CHECK(order == "line closed");
}

TEST_CASE("fflush of all FILEs stops nobody") {
    pair p = pair::stream();
    const file stuck = open_file(p[0], "w"), plain(::tmpfile());
    fill(p[0]);
    ::fputs("stuck", stuck.get());
    ::fputs("plain", plain.get());
    ticker t;
    auto flusher = weft::spawn([] { return ::fflush(nullptr); });
    auto opener = weft::spawn([] {
        for (int i = 0; i < 20; ++i) {
            const file f(::tmpfile());
            ::fputs("x", f.get());
            weft::this_fiber::sleep_for(1ms);
        }
    });
    REQUIRE(opener.join(patience));
    CHECK(!flusher.ready());
    std::thread([] { const file f(::tmpfile()); }).join(); // libc's list of FILEs is free
    while (::recv(p[1], text, sizeof text, MSG_DONTWAIT) > 0) {}
    CHECK(flusher.get(patience) == 0);
    CHECK(__fpending(stuck.get()) == 0);
    CHECK(__fpending(plain.get()) == 0);
}

TEST_CASE("fopen of a FIFO, popen and pclose let other fibers run") {
    const std::string path = "/tmp/weft-stdio-" + std::to_string(::getpid());
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const outcome o = in_fiber([&] { const file f(::fopen(path.c_str(), "r")); return f != nullptr && ::fgetc(f.get()) == 'x' ? 1L : 0L; },
                               [&] { const file f(::fopen(path.c_str(), "w")); ::fputc('x', f.get()); });
    ::unlink(path.c_str());
    CHECK(o.result == 1);
    check_blocked(o);

    const outcome closing = in_fiber([&] { FILE* f = ::popen("sleep 0.1; exit 3", "r"); return long{::pclose(f)}; });
    CHECK(WEXITSTATUS(closing.result) == 3);
    CHECK(closing.ticks >= 10);
    const outcome reading = in_fiber([&] {
        FILE* f = ::popen("sleep 0.1; echo word", "r");
        const bool right = ::fgets(text, sizeof text, f) == text && std::string(text) == "word\n";
        return right && ::pclose(f) == 0 ? 1L : 0L;
    });
    CHECK(reading.result == 1);
    CHECK(reading.ticks >= 10);
}

TEST_CASE("many fibers look up names at once") {
    std::vector<weft::fiber<bool>> fibers;
    for (int i = 0; i < 20; ++i)
        fibers.push_back(weft::spawn([] {
            passwd entry{}, *found = nullptr;
            char buffer[1024];
            const passwd* root = ::getpwnam("root");
            return root != nullptr && root->pw_uid == 0 && ::getpwuid_r(0, &entry, buffer, sizeof buffer, &found) == 0 && found == &entry;
        }));
    for (auto& f : fibers) CHECK(f.get(patience));
}

TEST_CASE("a cookie's functions may wait, and its FILE is one fiber's at a time") {
    pair p = pair::pipe();
    cookie_io_functions_t functions{};
    functions.read = [](void* cookie, char* to, std::size_t size) { return ::read(*static_cast<int*>(cookie), to, size); };
    int fd = p[0];
    const file f(::fopencookie(&fd, "r", functions));
    std::map<std::string, int> seen;
    const auto read_lines = [&] {
        char line[100];
        while (::fgets(line, sizeof line, f.get()) != nullptr) ++seen[line];
    };
    auto a = weft::spawn(read_lines), b = weft::spawn(read_lines);
    for (int i = 0; i < 100; ++i) {
        put(p[1], i % 2 == 0 ? "half a" : " line\n");
        weft::this_fiber::yield();
    }
    p.close(1);
    REQUIRE(a.join(patience));
    REQUIRE(b.join(patience));
    CHECK(seen.size() == 1);
    CHECK(seen["half a line\n"] == 50);
}

TEST_CASE("what a program has printed is written when it exits, though the reader is a fiber of its own") {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(10); // where nobody reads
        pair p = pair::pipe();
        FILE* out = ::fdopen(::dup(p[1]), "w");
        const std::vector<char> full(65536);
        if (::write(p[1], full.data(), full.size()) != 65536) ::_exit(3);
        weft::spawn([from = ::dup(p[0])] { while (::read(from, text, sizeof text) > 0) {} });
        ::fputs("last words", out);
        std::exit(0);
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("whoever waits at stdin keeps nobody from printing") {
    pair in = pair::pipe(), out = pair::pipe();
    const file reader = open_file(in[0], "r"), writer = open_file(out[1], "w");
    ::setvbuf(reader.get(), nullptr, _IONBF, 0);
    auto waiting = weft::spawn([&] { return ::fgetc(reader.get()); });
    auto printing = weft::spawn([&] {
        for (int i = 0; i < 100; ++i) {
            ::fprintf(writer.get(), "%d\n", i);
            ::fflush(writer.get());
            weft::this_fiber::yield();
        }
        return ::fflush(nullptr);
    });
    CHECK(printing.get(patience) == 0);
    CHECK(!waiting.ready());
    put(in[1], "x");
    CHECK(waiting.get(patience) == 'x');
}
