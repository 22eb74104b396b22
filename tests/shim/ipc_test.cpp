// SPDX-License-Identifier: Apache-2.0
// Message queues, semaphores and asynchronous requests in fibers: the others run on, kill and time-outs reach in and lose nothing.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>

#pragma GCC diagnostic ignored "-Wpedantic" // aiocb has an array of no elements

using namespace shim_test;

namespace {

struct posix_queue {
    std::string name = "/weft-ipc-test-" + std::to_string(::getpid());
    mqd_t q;
    posix_queue() {
        mq_attr shape{};
        shape.mq_maxmsg = 1;
        shape.mq_msgsize = 16;
        ::mq_unlink(name.c_str());
        q = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &shape);
        if (q < 0) throw std::system_error(errno, std::generic_category(), "mq_open");
    }
    ~posix_queue() {
        ::mq_close(q);
        ::mq_unlink(name.c_str());
    }
    posix_queue(const posix_queue&) = delete;
    posix_queue& operator=(const posix_queue&) = delete;
};

struct message {
    long type = 1;
    char text[16] = "hello";
};

struct sysv {
    int queue = ::msgget(IPC_PRIVATE, 0600), set = ::semget(IPC_PRIVATE, 1, 0600);
    sysv() {
        msqid_ds shape{};
        ::msgctl(queue, IPC_STAT, &shape);
        shape.msg_qbytes = 20;
        ::msgctl(queue, IPC_SET, &shape);
    }
    ~sysv() {
        ::msgctl(queue, IPC_RMID, nullptr);
        ::semctl(set, 0, IPC_RMID);
    }
    sysv(const sysv&) = delete;
    sysv& operator=(const sysv&) = delete;
};

timespec in_20_s() {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 20;
    return t;
}

struct named_call {
    const char* name;
    std::function<long()> call;
    std::function<void()> let_go; // what ends the wait
};

/// Every call, in a situation in which it waits. Requests that go on are made before, in `request`.
struct situations {
    posix_queue empty;
    sysv s;
    pair p = pair::pipe();
    aiocb request{};
    const aiocb* list[1] = {&request};
    char into[16] = {};
    char text[16] = {};
    message m;
    timespec limit = in_20_s();
    timespec long_time{20, 0};
    sembuf take{0, -1, 0};

    void begin_request() {
        request = {};
        request.aio_fildes = p[0];
        request.aio_buf = into;
        request.aio_nbytes = 1;
        request.aio_lio_opcode = LIO_READ;
        REQUIRE(::aio_read(&request) == 0);
    }
    void end_request() {
        REQUIRE(::write(p[1], "x", 1) == 1);
        while (::aio_error(&request) == EINPROGRESS) weft::this_fiber::sleep_for(1ms);
        ::aio_return(&request);
    }
    std::vector<named_call> all() {
        auto put = [this] { CHECK(::mq_send(empty.q, "x", 1, 0) == 0); };
        auto give = [this] {
            sembuf one{0, 1, 0};
            CHECK(::semop(s.set, &one, 1) == 0);
        };
        return {
            {"mq_receive", [this] { return ::mq_receive(empty.q, text, 16, nullptr); }, put},
            {"mq_timedreceive", [this] { return ::mq_timedreceive(empty.q, text, 16, nullptr, &limit); }, put},
            {"msgrcv", [this] { return ::msgrcv(s.queue, &m, 16, 0, 0); }, [this] { CHECK(::msgsnd(s.queue, &m, 5, 0) == 0); }},
            {"semop", [this] { return long{::semop(s.set, &take, 1)}; }, give},
            {"semtimedop", [this] { return long{::semtimedop(s.set, &take, 1, &long_time)}; }, give},
            {"aio_suspend", [this] { return long{::aio_suspend(list, 1, nullptr)}; }, [this] { CHECK(::write(p[1], "x", 1) == 1); }},
            {"aio_suspend in time", [this] { return long{::aio_suspend(list, 1, &long_time)}; },
             [this] { CHECK(::write(p[1], "x", 1) == 1); }},
        };
    }
};

void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

bool uses_request(const named_call& c) { return std::strncmp(c.name, "aio", 3) == 0; }

} // namespace

TEST_CASE("calls that wait for others let other fibers run") {
    situations here;
    for (const auto& c : here.all()) {
        INFO(c.name);
        if (uses_request(c)) here.begin_request();
        const outcome o = in_fiber(c.call, c.let_go);
        CHECK(o.result >= 0);
        CHECK(o.error == 0);
        check_blocked(o);
    }
}

TEST_CASE("senders to full queues let other fibers run") {
    situations here;
    REQUIRE(::mq_send(here.empty.q, "1", 1, 0) == 0);
    for (const bool timed : {false, true}) {
        const outcome o = in_fiber(
            [&] { return long{timed ? ::mq_timedsend(here.empty.q, "2", 1, 0, &here.limit) : ::mq_send(here.empty.q, "2", 1, 0)}; },
            [&] { CHECK(::mq_receive(here.empty.q, here.text, 16, nullptr) == 1); });
        CHECK(o.result == 0);
        check_blocked(o);
    }
    REQUIRE(::msgsnd(here.s.queue, &here.m, 16, 0) == 0);
    message in;
    const outcome o = in_fiber([&] { return long{::msgsnd(here.s.queue, &here.m, 16, 0)}; },
                               [&] { CHECK(::msgrcv(here.s.queue, &in, 16, 0, 0) == 16); });
    CHECK(o.result == 0);
    check_blocked(o);
}

TEST_CASE("a list of requests is waited for while other fibers run") {
    situations here;
    here.request.aio_fildes = here.p[0];
    here.request.aio_buf = here.into;
    here.request.aio_nbytes = 1;
    here.request.aio_lio_opcode = LIO_READ;
    aiocb* list[] = {&here.request};
    const outcome o = in_fiber([&] { return long{::lio_listio(LIO_WAIT, list, 1, nullptr)}; },
                               [&] { CHECK(::write(here.p[1], "x", 1) == 1); });
    CHECK(o.result == 0);
    check_blocked(o);
}

TEST_CASE("kill and time-outs reach in, and nothing is lost") {
    situations here;
    for (const auto& c : here.all()) {
        INFO(c.name);
        if (uses_request(c)) here.begin_request();
        long result = 0;
        int error = 0;
        auto call = [&] {
            errno = 0;
            result = c.call();
            error = errno;
        };
        auto f = weft::spawn(call);
        weft::this_fiber::sleep_for(5ms);
        f.kill();
        CHECK(f.join(patience));
        CHECK(result == -1);
        CHECK(error == ECANCELED);
        auto late = weft::spawn([&] {
            try {
                const weft::timeout limit(20ms);
                call();
                weft::this_fiber::yield();
                return false;
            } catch (const weft::timeout_error&) {
                return true;
            }
        });
        CHECK(late.get(patience));
        CHECK(result == -1);
        CHECK(error == ETIMEDOUT);
        c.let_go(); // nobody waits: it is there for the next one
        auto next = weft::spawn(call);
        CHECK(next.join(patience));
        CHECK(result >= 0);
    }
}

TEST_CASE("several fibers share a queue and each message reaches one") {
    posix_queue queue;
    constexpr int count = 40;
    int received = 0;
    std::vector<weft::fiber<void>> fibers;
    for (int i = 0; i < 4; ++i)
        fibers.push_back(weft::spawn([&] {
            char text[16];
            for (int k = 0; k < count / 4; ++k) {
                CHECK(::mq_receive(queue.q, text, sizeof text, nullptr) == 3);
                ++received;
            }
        }));
    for (int i = 0; i < 2; ++i)
        fibers.push_back(weft::spawn([&] {
            for (int k = 0; k < count / 2; ++k) CHECK(::mq_send(queue.q, "abc", 3, 0) == 0);
        }));
    for (auto& f : fibers) CHECK(f.join(patience));
    CHECK(received == count);
}

TEST_CASE("fibers exclude each other by a semaphore between processes") {
    sysv s;
    sembuf give{0, 1, SEM_UNDO}, take{0, -1, SEM_UNDO};
    REQUIRE(::semop(s.set, &give, 1) == 0);
    int inside = 0, most = 0;
    std::vector<weft::fiber<void>> fibers;
    for (int i = 0; i < 5; ++i)
        fibers.push_back(weft::spawn([&] {
            for (int k = 0; k < 3; ++k) {
                sembuf in = take, out = give;
                CHECK(::semop(s.set, &in, 1) == 0);
                most = std::max(most, ++inside);
                weft::this_fiber::sleep_for(2ms);
                --inside;
                CHECK(::semop(s.set, &out, 1) == 0);
            }
        }));
    for (auto& f : fibers) CHECK(f.join(patience));
    CHECK(most == 1);
}

namespace {

volatile std::sig_atomic_t caught;
pthread_t volatile caught_by;
void count(int) {
    caught = caught + 1;
    caught_by = ::pthread_self();
}

/// Kills a fiber in a call that weft has to interrupt by a signal of its own.
void interrupt_a_call(const sysv& s) {
    auto f = weft::spawn([&] {
        message in;
        CHECK(::msgrcv(s.queue, &in, 16, 0, 0) == -1);
        CHECK(errno == ECANCELED);
    });
    weft::this_fiber::sleep_for(5ms);
    f.kill();
    CHECK(f.join(patience));
}

} // namespace

TEST_CASE("the signal that interrupts such calls is the program's as any other") {
    sysv s;
    struct sigaction a {}, old {};
    a.sa_handler = count;
    for (const bool interrupted_before : {false, true}) {
        INFO(interrupted_before);
        if (interrupted_before) interrupt_a_call(s);
        CHECK(::sigaction(SIGRTMAX, nullptr, &old) == 0);
        CHECK(old.sa_handler == SIG_DFL);
        CHECK(::sigaction(SIGRTMAX, &a, nullptr) == 0);
        CHECK(::sigaction(SIGRTMAX, nullptr, &old) == 0);
        CHECK(old.sa_handler == count);
        caught = 0;
        auto waiting = weft::spawn([&] { message in; return ::msgrcv(s.queue, &in, 16, 0, 0); });
        weft::this_fiber::sleep_for(5ms);
        ::kill(::getpid(), SIGRTMAX);
        CHECK(eventually([] { return caught == 1; }));
        CHECK(::pthread_equal(caught_by, ::pthread_self()) != 0);
        CHECK_FALSE(waiting.ready());
        interrupt_a_call(s);
        CHECK(caught == 1);
        ::raise(SIGRTMAX);
        CHECK(eventually([] { return caught == 2; }));
        waiting.kill();
        CHECK(waiting.join(patience));
        CHECK(caught == 2);
        CHECK(::signal(SIGRTMAX, SIG_IGN) == count);
        ::raise(SIGRTMAX);
        CHECK(::signal(SIGRTMAX, SIG_DFL) == SIG_IGN);
    }
    const pid_t child = ::fork();
    if (child == 0) {
        ::raise(SIGRTMAX);
        ::_exit(1);
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGRTMAX);
}
