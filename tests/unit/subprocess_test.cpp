// SPDX-License-Identifier: Apache-2.0
#include <weft/subprocess.hpp>

#include <weft/event.hpp>
#include <weft/process.hpp>
#include <weft/threadpool.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::subprocess;
using weft::this_fiber::sleep_for;
using weft::this_fiber::yield;

namespace {

template <class F>
int error_of(F f) {
    try {
        f();
        return 0;
    } catch (const std::system_error& e) {
        return e.code().value();
    }
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Neither a child nor a zombie is left.
bool childless() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

} // namespace

TEST_CASE("popen_in_all_its_spellings") {
    weft::popen a({"true"});
    CHECK(a.wait(20s) == 0);
    subprocess b({"sh", "-c", "exit 7"});
    CHECK(b.wait(20s) == 7);
    subprocess::popen c({.args = {"false"}});
    CHECK(c.wait(20s) == 1);
    weft::popen d({"exit $1", "sh", "9"}, {.shell = true});
    CHECK(d.wait(20s) == 9);
    weft::popen e{"true"};
    CHECK(e.wait(20s) == 0);
    const std::vector<std::string> words{"true", "x"};
    weft::popen f(words);
    CHECK(f.wait(20s) == 0);
    CHECK(f.args() == words);
    auto g = weft::popen({"sh", std::string("-c"), "kill -9 $$"});
    CHECK(g.wait(20s) == -SIGKILL);
    CHECK(g.returncode() == -SIGKILL);
    subprocess none;
    CHECK_FALSE(none);
    none = g;
    CHECK(none == g);
    CHECK(weft::check_output("pwd", {.cwd = "/"}) == "/\n");
    CHECK(subprocess::check_output({"echo", "a b"}) == "a b\n");
    CHECK_THROWS_AS(weft::popen(std::vector<std::string>()), std::invalid_argument);
    CHECK(childless());
}

TEST_CASE("popen_poll_and_signals") {
    weft::popen p({"sleep", "100"});
    CHECK_FALSE(p.poll());
    CHECK_THROWS_AS(p.wait(5ms), weft::timeout_error);
    CHECK_THROWS_AS(p.wait(-1s), weft::timeout_error);
    CHECK(p.send_signal(0));
    CHECK(error_of([&] { p.send_signal(9999); }) == EINVAL);
    CHECK(p.terminate());
    CHECK(p.wait(20s) == -SIGTERM);
    CHECK(p.poll() == -SIGTERM);
    CHECK_FALSE(p.kill()); // gone
    CHECK_FALSE(p.send_signal(SIGTERM));
    CHECK(p.wait(-1s) == -SIGTERM);
    weft::popen q({"sleep", "100"});
    q.kill();
    CHECK(q.wait(20s) == -SIGKILL);
    CHECK(childless());
}

TEST_CASE("popen_errors_are_execs") {
    const std::size_t before = open_descriptors();
    CHECK(error_of([] { weft::popen({"/no/such/program"}); }) == ENOENT);
    CHECK(error_of([] { weft::popen({"no-such-program-anywhere"}); }) == ENOENT);
    CHECK(error_of([] { weft::popen({"/etc/passwd"}); }) == EACCES);
    CHECK(error_of([] { weft::popen({"/"}); }) == EACCES);
    CHECK(error_of([] { weft::popen({"true"}, {.cwd = "/no/such/place"}); }) == ENOENT);
    CHECK(error_of([] { weft::popen({"true"}, {.cwd = "/etc/passwd"}); }) == ENOTDIR);
    CHECK(error_of([] { weft::popen({"true"}, {.stdout = 99999}); }) == EBADF);
    CHECK(error_of([] { weft::popen({"true"}, {.pass_fds = {99999}}); }) == EBADF);
    char name[] = "/tmp/weft-subprocess-XXXXXX";
    const int fd = ::mkstemp(name);
    REQUIRE(::write(fd, "\x7f" "ELFnot", 7) == 7);
    ::fchmod(fd, 0700);
    ::close(fd);
    CHECK(error_of([&] { weft::popen({name}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe}); }) == ENOEXEC);
    ::unlink(name);
    CHECK(error_of([&] { weft::popen({"true", std::string(3 << 20, 'x')}); }) == E2BIG);
    try {
        weft::popen({"/no/such/program"});
    } catch (const std::system_error& e) {
        CHECK(std::string(e.what()).find("/no/such/program") != std::string::npos);
    }
    CHECK(open_descriptors() <= before + 4); // the hub's own
    CHECK(childless());
}

TEST_CASE("communicate_carries_any_size_both_ways") {
    std::string big(5 << 20, 'x');
    for (std::size_t i = 0; i < big.size(); i += 1000) big[i] = '\n';
    weft::popen p({"cat"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
    auto [out, err] = p.communicate(big, 50s);
    CHECK(out == big);
    CHECK(err.empty());
    CHECK(p.wait() == 0);
    CHECK_FALSE(p.stdout().is_open());

    weft::popen q({"sh", "-c", "head -c 3000000 /dev/zero >&2; head -c 2000000 /dev/zero; cat >/dev/null"},
            {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe, .stderr = weft::popen::pipe});
    auto both = q.communicate(big, 50s);
    CHECK(both.stdout.size() == 2000000);
    CHECK(both.stderr.size() == 3000000);
    weft::popen merged({"sh", "-c", "echo a; echo b >&2"}, {.stdout = weft::popen::pipe, .stderr = weft::popen::to_stdout});
    CHECK(merged.communicate(20s).stdout == "a\nb\n");
    weft::popen deaf({"sh", "-c", "exec <&-; echo done"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
    CHECK(deaf.communicate(big, 20s).stdout == "done\n"); // no SIGPIPE, no error
    CHECK_THROWS_AS(weft::popen({"true"}).communicate("input"), std::logic_error);
}

TEST_CASE("communicate_past_its_deadline_loses_nothing") {
    weft::popen p({"sh", "-c", "echo first; read line; echo $line; cat"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
    weft::popen slow({"sh", "-c", "echo one; sleep 0.2; echo two; cat"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
    int late = 0;
    std::string given(300000, 'y');
    for (std::string_view input = given;; input = {}) {
        try {
            const std::string out = slow.communicate(input, 20ms).stdout;
            CHECK(out == "one\ntwo\n" + given);
            break;
        } catch (const weft::timeout_error&) {
            ++late;
        }
    }
    CHECK(late > 0);
    CHECK(p.stdout().read_line(20s) == "first\n");
    p.stdin().write("second\n", 20s);
    CHECK(p.communicate("third", 20s).stdout == "second\nthird");
    weft::popen endless({"yes"}, {.stdout = weft::popen::pipe});
    CHECK_THROWS_AS(endless.communicate({}, 50ms), weft::timeout_error);
    CHECK_THROWS_AS(endless.communicate({}, -1s), weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(30ms, [&] { endless.communicate(); }), weft::timeout_error);
    endless.kill();
    CHECK(endless.wait(20s) == -SIGKILL);
}

TEST_CASE("streams_read_and_write") {
    weft::popen p({"cat"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
    CHECK_THROWS_AS(p.stdout().read_some(10, -1s), weft::timeout_error);
    CHECK_THROWS_AS(p.stdout().read_line(5ms), weft::timeout_error);
    p.stdin().write("one\ntwo", 20s);
    CHECK(p.stdout().read_line(20s) == "one\n");
    CHECK_THROWS_AS(p.stdout().read_line(5ms), weft::timeout_error);
    CHECK(p.stdout().read(2, 20s) == "tw");
    p.stdin().write(" three", 20s);
    CHECK(p.stdout().read(7, 20s) == "o three");
    const std::string big(1 << 20, 'z');
    CHECK_THROWS_AS(p.stdin().write(big, 20ms), weft::timeout_error); // nobody reads
    p.stdin().close();
    const std::string rest = p.stdout().read(static_cast<std::size_t>(-1), 20s);
    CHECK(rest == std::string(rest.size(), 'z'));
    CHECK(rest.size() >= 65536);
    CHECK(p.stdout().read_line().empty());
    CHECK(p.stdout().read_some().empty());
    CHECK(p.wait(20s) == 0);
    CHECK(error_of([&] { p.stdin().write("x"); }) == EBADF);
    weft::popen q({"true"}, {.stdin = weft::popen::pipe});
    q.wait(20s);
    CHECK(error_of([&] { q.stdin().write("x"); }) == EPIPE);
    CHECK(error_of([&] { q.stdout().read(); }) == EBADF);
    weft::popen endless({"yes"}, {.stdout = weft::popen::pipe});
    CHECK_THROWS_AS(endless.stdout().read(std::size_t(1) << 40, 50ms), weft::timeout_error);
    endless.kill();
}

TEST_CASE("popen_options") {
    CHECK(weft::check_output({"sh", "-c", "echo $A-$B-$PATH"}, {.env = {{"A", "1"}, {"PATH", "/bin"}}}) == "1--/bin\n");
    const std::map<std::string, std::string> variables{{"B", "x=y"}};
    CHECK(weft::check_output({"/bin/sh", "-c", "echo $A-$B"}, {.env = variables}) == "-x=y\n");
    ::setenv("WEFT_SEEN", "1", 1);
    CHECK(weft::check_output({"sh", "-c", "echo $WEFT_SEEN"}) == "1\n");
    auto changed = weft::subprocess::environment::current().set("WEFT_MORE", "2").unset("WEFT_SEEN");
    CHECK(weft::check_output({"sh", "-c", "echo $WEFT_SEEN$WEFT_MORE"}, {.env = changed}) == "2\n");
    CHECK(error_of([] { weft::popen({"sh"}, {.env = {{"PATH", "/nowhere"}}}); }) == ENOENT); // the PATH that it is given
    CHECK_THROWS_AS(changed.set("A=B", ""), std::invalid_argument);

    CHECK(weft::check_output({"sh", "-c", "ps -o sid= -p $$ | tr -d ' '; echo $$"}, {.new_session = true}).size() > 3);
    weft::popen leader({"sleep", "100"}, {.process_group = 0});
    CHECK(::getpgid(leader.pid()) == leader.pid());
    leader.kill();
    weft::popen session({"sleep", "100"}, {.new_session = true});
    CHECK(::getsid(session.pid()) == session.pid());
    session.kill();

    CHECK(weft::check_output({"sh", "-c", "echo out; echo err >&2"}, {.stderr = weft::popen::devnull}) == "out\n");
    CHECK(weft::check_output({"cat"}, {.stdin = weft::popen::devnull}).empty());
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    CHECK(weft::popen({"echo", "through"}, {.stdout = ends[1]}).wait(20s) == 0);
    ::close(ends[1]);
    char got[16];
    CHECK(::read(ends[0], got, sizeof got) == 8);
    ::close(ends[0]);
    // The first's output and error, exchanged.
    const auto exchanged = weft::run({"sh", "-c", "sh -c 'echo a; echo b >&2'"}, {.capture_output = true});
    CHECK(exchanged.stdout == "a\n");
    CHECK(exchanged.stderr == "b\n");
}

TEST_CASE("nothing_leaks_over_exec") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0); // without close-on-exec
    const int first = ::fcntl(ends[0], F_DUPFD, 50), second = ::fcntl(ends[1], F_DUPFD, 60);
    const weft::popen beside({"cat"}, {.stdin = subprocess::pipe, .stdout = subprocess::pipe});
    const auto open = [&](weft::popen_options options) {
        return " " + weft::check_output({"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"}, std::move(options));
    };
    const auto has = [](const std::string& all, int fd) { return all.find(" " + std::to_string(fd) + " ") != std::string::npos; };
    CHECK(open({}) == " 0 1 2 3 "); // ls has the folder itself
    const std::string passed = open({.pass_fds = {second}});
    CHECK(passed == " 0 1 2 3 " + std::to_string(second) + " ");
    const std::string all = open({.close_fds = false});
    CHECK(has(all, first));
    CHECK(has(all, second));
    CHECK_FALSE(has(all, beside.stdin().fd())); // close-on-exec
    CHECK_FALSE(has(all, beside.stdout().fd()));
    for (const int fd : {ends[0], ends[1], first, second}) ::close(fd);
    beside.kill();
}

TEST_CASE("standard_descriptors_may_be_closed") {
    const int saved[3] = {::fcntl(0, F_DUPFD_CLOEXEC, 10), ::fcntl(1, F_DUPFD_CLOEXEC, 10), ::fcntl(2, F_DUPFD_CLOEXEC, 10)};
    for (int i = 0; i < 3; ++i) ::close(i);
    weft::popen p({"sh", "-c", "cat; echo err >&2"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe, .stderr = weft::popen::pipe});
    const auto output = p.communicate("in", 20s);
    for (int i = 0; i < 3; ++i)
        if (saved[i] >= 0) ::dup2(saved[i], i), ::close(saved[i]);
    CHECK(output.stdout == "in");
    CHECK(output.stderr == "err\n");
}

TEST_CASE("run_and_check_output") {
    const auto done = weft::run({"sh", "-c", "cat; exit 3"}, {.input = "given", .capture_output = true});
    CHECK(done.returncode == 3);
    CHECK(done.stdout == "given");
    CHECK_THROWS_AS(done.check_returncode(), weft::called_process_error);
    try {
        weft::check_output({"sh", "-c", "echo some; echo why >&2; exit 4"}, {.stderr = weft::popen::pipe}, 20s);
        CHECK(false);
    } catch (const weft::called_process_error& e) {
        CHECK(e.returncode() == 4);
        CHECK(e.stdout() == "some\n");
        CHECK(e.stderr() == "why\n");
        CHECK(std::string(e.what()).find("status 4") != std::string::npos);
    }
    CHECK_THROWS_AS(weft::run({"sh", "-c", "kill -15 $$"}, {.check = true}), weft::called_process_error);
    const auto begin = std::chrono::steady_clock::now();
    CHECK_THROWS_AS(weft::run({"sleep", "100"}, {}, 20ms), weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(20ms, [] { weft::run({"sleep", "100"}); }), weft::timeout_error);
    auto f = weft::spawn([] { weft::check_output({"sleep", "100"}); });
    sleep_for(20ms);
    CHECK(f.kill(20s));
    CHECK(std::chrono::steady_clock::now() - begin < 50s);
    CHECK(childless()); // they were killed, and waited for
}

TEST_CASE("other_fibers_run_meanwhile") {
    std::vector<weft::fiber<int>> all;
    std::vector<weft::popen> programs;
    for (int i = 0; i < 20; ++i) {
        programs.emplace_back(std::vector<std::string>{"sh", "-c", "read x; exit $x"}, weft::popen_options{.stdin = weft::popen::pipe});
        all.push_back(weft::spawn([p = programs.back()] { return p.wait(50s); }));
    }
    yield();
    for (int i = 19; i >= 0; --i) programs[static_cast<std::size_t>(i)].stdin().write(std::to_string(i) + "\n");
    for (int i = 0; i < 20; ++i) CHECK(all[static_cast<std::size_t>(i)].get(50s) == i);
}

TEST_CASE("waits_are_interrupted") {
    weft::popen p({"sleep", "100"}, {.stdout = weft::popen::pipe});
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.wait(); }), weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.communicate(); }), weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.stdout().read(); }), weft::timeout_error);
    for (int way = 0; way < 3; ++way) {
        auto f = weft::spawn([&] { way == 0 ? void(p.wait()) : way == 1 ? void(p.communicate()) : void(p.stdout().read()); });
        sleep_for(2ms);
        CHECK(f.kill(20s));
        CHECK_THROWS_AS(f.get(), weft::fiber_killed);
    }
    p.kill();
    CHECK(p.wait(20s) == -SIGKILL);
}

TEST_CASE("programs_are_waitables") {
    weft::popen quick({"true"});
    weft::popen slow({"sleep", "100"});
    weft::event never;
    auto ready = weft::wait({slow, quick, never}, 20s, 1);
    REQUIRE(ready.size() == 1);
    CHECK(ready[0] == weft::waitable(quick));
    CHECK(weft::wait(std::vector{slow}, 5ms).empty());
    CHECK(weft::wait(std::vector{slow, quick}, -1s).size() == 1);
    slow.terminate();
    int n = 0;
    for (auto& p : weft::iwait(std::vector{slow, quick}, 20s)) n += p.poll().has_value();
    CHECK(n == 2);
    CHECK(weft::wait(20s)); // no watcher is left
}

TEST_CASE("rawlink_runs_after_the_end") {
    weft::popen p({"sh", "-c", "read x; exit 5"}, {.stdin = weft::popen::pipe});
    std::vector<int> seen;
    p.rawlink([&](const subprocess& ended) { seen.push_back(*ended.poll()); });
    sleep_for(2ms);
    CHECK(seen.empty());
    p.stdin().close();
    p.wait(20s);
    weft::wait(20s);
    p.rawlink([&](const subprocess&) { seen.push_back(1); });
    weft::wait(20s);
    CHECK(seen == std::vector{5, 1});
}

TEST_CASE("a_kernel_thread_without_a_hub_waits_too") {
    std::thread([] {
        weft::popen p({"cat"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
        if (p.communicate("text", 20s).stdout != "text") std::abort();
        weft::popen slow({"sleep", "100"});
        try {
            slow.wait(10ms);
            std::abort();
        } catch (const weft::timeout_error&) {
        }
        try {
            weft::timeout limit(10ms);
            slow.wait();
            std::abort();
        } catch (const weft::timeout_error&) {
        }
        slow.kill();
        if (slow.wait(20s) != -SIGKILL) std::abort();
    }).join();
    CHECK(childless());
}

TEST_CASE("several_kernel_threads_wait_for_one_program") {
    weft::popen p({"sh", "-c", "read x; exit 6"}, {.stdin = weft::popen::pipe});
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&, i] {
            if (i % 2 == 0) weft::spawn([&] { right += p.wait(40s) == 6; }).join();
            else right += p.wait(40s) == 6;
        });
    auto here = weft::spawn([&] { right += p.wait(40s) == 6; });
    sleep_for(20ms);
    p.stdin().close();
    here.join();
    for (auto& t : threads) t.join();
    CHECK(right == 5);
}

TEST_CASE("sigchld_stays_the_programs") {
    static std::atomic<int> heard{0};
    heard = 0;
    struct sigaction count {}, before {};
    count.sa_handler = [](int) { ++heard; };
    count.sa_flags = SA_NOCLDSTOP; // whoever stops and continues these processes
    ::sigaction(SIGCHLD, &count, &before);
    CHECK(weft::popen({"true"}).wait(20s) == 0);
    CHECK(heard == 1);
    struct sigaction now {};
    ::sigaction(SIGCHLD, nullptr, &now);
    CHECK(now.sa_handler == count.sa_handler);
    ::sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("programs_of_jobs_and_threads_can_be_signalled") {
    weft::threadpool workers(1); // whose threads block every signal
    const int code = workers.apply([] {
        weft::popen p({"sleep", "1000"});
        p.terminate();
        return p.wait(20s);
    });
    CHECK(code == -SIGTERM);
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before); // the caller's mask goes along
    weft::popen p({"sleep", "1000"});
    p.terminate();
    CHECK_THROWS_AS(p.wait(20ms), weft::timeout_error);
    p.kill();
    CHECK(p.wait(20s) == -SIGKILL);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("a_status_that_somebody_else_took_is_known_or_an_error") {
    weft::popen p({"sh", "-c", "exit 8"});
    int status = 0;
    REQUIRE(::waitpid(p.pid(), &status, 0) == p.pid());
    int code = 8;
    const int error = error_of([&] { code = p.wait(20s); });
    CHECK((error == 0 || error == ECHILD));
    CHECK(code == 8);
    CHECK_FALSE(p.kill());
}

TEST_CASE("in_the_child_of_a_fork_a_program_is_the_parents") {
    weft::popen p({"sleep", "100"});
    const pid_t child = ::fork();
    if (child == 0) {
        alarm(30);
        const bool refused = error_of([&] { p.wait(); }) == ECHILD && !p.kill();
        _exit(refused && weft::check_output({"echo", "x"}) == "x\n" ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK_FALSE(p.poll());
    p.kill();
    CHECK(p.wait(20s) == -SIGKILL);
}

TEST_CASE("dropped_handles_leave_no_zombies") {
    const auto settled = [] { // without another program, and whatever this hub does
        for (const weft::deadline end = 30s; !childless() && !end.expired();) std::this_thread::sleep_for(1ms);
        return childless();
    };
    for (int i = 0; i < 10; ++i) weft::popen({"true"}, {.stdout = weft::popen::pipe});
    CHECK(settled());
    for (int i = 0; i < 3; ++i) weft::popen({"sh", "-c", "read x"}, {.stdin = weft::popen::pipe}); // each ends as its pipe is closed
    weft::popen kept({"cat"}, {.stdin = weft::popen::pipe});
    std::thread([] { weft::popen({"true"}); }).join();
    kept.communicate(20s);
    CHECK(settled());
    const pid_t sleeper = weft::popen({"sleep", "1000"}).pid();
    const pid_t child = ::fork(); // where the reaper is the parent's
    if (child == 0) {
        alarm(60);
        weft::popen({"true"});
        _exit(settled() ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(::kill(sleeper, SIGKILL) == 0);
    CHECK(settled());
}

TEST_CASE("how_it_ended_is_told_where_children_are_ignored_or_reaped_by_others") {
    static const bool kernel_keeps_it = [] { // Linux 6.15
        ::utsname u{};
        int major = 0, minor = 0;
        return ::uname(&u) == 0 && std::sscanf(u.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 15));
    }();
    const auto try_it = [] {
        for (int i = 0; i < 20; ++i) {
            const auto told = [&](int expected, auto get) {
                int code = expected;
                const int error = error_of([&] { code = get(); });
                CHECK((error == 0 || (error == ECHILD && !kernel_keeps_it)));
                CHECK(code == expected);
            };
            told(i, [&] { return weft::run({"sh", "-c", "exit " + std::to_string(i)}, {}, 20s).returncode; });
            weft::popen p({"sh", "-c", "kill -9 $$"});
            told(-SIGKILL, [&] { return p.wait(20s); });
            const weft::process f = weft::process::spawn([i] { return i; });
            CHECK(f.join(20s));
            told(i, [&] { return *f.exitcode(); });
        }
        weft::process_pool pool(2);
        CHECK(pool.map([](int n) { return n * n; }, std::vector{1, 2, 3}) == std::vector{1, 4, 9});
        CHECK(pool.apply([] { return ::getpid(); }) != ::getpid());
        CHECK_THROWS_AS(pool.apply([] { ::raise(SIGKILL); }), weft::process_error);
        CHECK(pool.apply([] { return 5; }) == 5);
        CHECK(error_of([] { weft::popen({"/nowhere/program"}); }) == ENOENT);
    };
    struct sigaction ignore {}, before {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGCHLD, &ignore, &before);
    try_it();
    ignore.sa_handler = [](int) { // as many programs do it
        const int saved = errno;
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {}
        errno = saved;
    };
    ::sigaction(SIGCHLD, &ignore, nullptr);
    try_it();
    ::sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("whom_a_program_runs_as_and_what_its_files_may_be") {
    CHECK(weft::check_output({"sh", "-c", "umask"}, {.umask = 027}) == "0027\n");
    CHECK_THROWS_AS(weft::popen({"true"}, {.user = "no such user"}), std::invalid_argument);
    CHECK_THROWS_AS(weft::popen({"true"}, {.group = -1}), std::invalid_argument);
    if (::geteuid() != 0) {
        CHECK(error_of([] { weft::popen({"true"}, {.user = 0}); }) == EPERM);
        return;
    }
    CHECK(weft::check_output({"id", "-u"}, {.user = 65534}) == "65534\n");
    CHECK(weft::check_output({"sh", "-c", "id -un; id -g; id -G"}, {.user = "nobody", .group = 12345, .extra_groups = {{1, "daemon", 77}}}) ==
          "nobody\n12345\n12345 1 77\n");
    CHECK(weft::check_output({"sh", "-c", "id -G"}, {.group = 5, .extra_groups = std::vector<weft::process_identity>{}}) == "5\n");
    CHECK(error_of([] { weft::popen({"/nowhere/program"}, {.user = 65534}); }) == ENOENT);
    CHECK(::prctl(PR_GET_DUMPABLE) == 1); // this process can still be traced
    CHECK(childless());
}

TEST_CASE("a_thousand_programs_leak_nothing", "[timeout:120]") {
    CHECK(weft::check_output({"echo", "x"}, 60s) == "x\n");
    const std::size_t before = open_descriptors();
    std::size_t memory = 0;
    for (int round = 0; round < 20; ++round) {
        if (round == 2) memory = ::mallinfo2().uordblks;
        std::vector<weft::fiber<bool>> all;
        for (int i = 0; i < 50; ++i)
            all.push_back(weft::spawn([i] {
                if (i % 3 == 0) return weft::check_output({"/bin/echo", "x"}, {}, 60s) == "x\n";
                if (i % 3 == 1) return weft::popen({"/bin/true"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe}).wait(60s) == 0;
                weft::popen p({"/bin/cat"}, {.stdin = weft::popen::pipe});
                return p.kill() && p.wait(60s) == -SIGKILL;
            }));
        for (auto& f : all) CHECK(f.get(60s));
    }
    CHECK(::mallinfo2().uordblks <= memory + 50'000); // a program would have at least 100 bytes
    CHECK(open_descriptors() == before);
    CHECK(childless());
}
