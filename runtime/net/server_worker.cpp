// SPDX-License-Identifier: Apache-2.0
// Who takes clients: a fiber of the calling hub, a kernel thread with a hub of its own, or a process.
#include "net/server_core.hpp"

#include "core/log.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <weft/fiber.hpp>
#include <weft/io.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <mutex>

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weft::rt {

namespace {

// --- A fiber ---

class fiber_worker final : public server_worker {
public:
    fiber_worker(server_core& server, int fd)
        : accepting_(spawn({.name = "server"}, [&server, fd] { server.accept_clients(fd); })) {}
    void close_door(deadline) override {
        const no_interruption whole;
        accepting_.kill();
    }
    bool end() override { return true; }

private:
    fiber<void> accepting_;
};

// --- A kernel thread ---

class thread_worker final : public server_worker {
public:
    thread_worker(server_core& server, int fd) : state_(std::make_shared<state>()) {
        state_->server = &server;
        state_->fd = fd;
        make_thread();
        const no_interruption whole;
        state_->begun.wait();
    }
    void close_door(deadline) override {
        const no_interruption whole;
        state_->accepting.kill();
    }
    /// Its handlers have ended, but for fibers they left behind, which end with their kernel thread.
    bool end() override {
        const no_interruption whole;
        state_->may_end.set();
        state_->ended.wait();
        return true;
    }

private:
    struct state {
        server_core* server = nullptr;
        int fd = -1;
        event begun, may_end, ended;
        fiber<void> accepting;
    };

    /// A kernel thread whatever a shim makes of pthread_create; no signal is its business.
    void make_thread() {
        const inside_weft inside;
        const std::uint64_t all = ~(std::uint64_t{3} << 31); // but for libc's own two
        std::uint64_t before = 0;
        auto* given = new std::shared_ptr<state>(state_);
        pthread_attr_t detached;
        ::pthread_attr_init(&detached);
        ::pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), sizeof all);
        pthread_t thread{};
        const int error = ::pthread_create(&thread, &detached, &thread_worker::run, given);
        sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, sizeof before);
        ::pthread_attr_destroy(&detached);
        if (error == 0) return;
        delete given;
        throw_errno(error, "weft: the thread of a server");
    }

    static void* run(void* p) {
        ::pthread_setname_np(::pthread_self(), "weft-server");
        const std::unique_ptr<std::shared_ptr<state>> given(static_cast<std::shared_ptr<state>*>(p));
        state& mine = **given;
        mine.accepting = spawn({.name = "server"}, [&mine] { mine.server->accept_clients(mine.fd); });
        mine.begun.set();
        mine.may_end.wait();
        mine.ended.set();
        return nullptr;
    }

    std::shared_ptr<state> state_;
};

// --- A process ---

class process_worker final : public server_worker {
public:
    process_worker(server_core& server, std::size_t which) : server_(server), which_(which) {
        begin();
        watching_ = spawn({.name = "server-worker"}, [this] { watch(); });
    }
    ~process_worker() override { end(); }

    void close_door(deadline d) override {
        const no_interruption whole;
        stopping_ = true;
        until_ = d;
        const std::int64_t ns = d.is_never() ? INT64_MAX : d.remaining().count();
        if (control_.get() >= 0) static_cast<void>(!::write(control_.get(), &ns, sizeof ns));
    }
    bool end() override {
        const no_interruption whole;
        if (!watching_) return clean_;
        stopping_ = true;
        constexpr std::chrono::seconds grace{1}; // to unwind what it kills at the deadline
        if (!watching_.join(until_.is_never() ? deadline() : deadline(until_.remaining() + grace))) {
            ::kill(child_, SIGKILL);
            watching_.join();
            clean_ = false;
        }
        watching_ = {};
        return clean_;
    }

private:
    void begin() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno(errno, "weft: the pipe of a worker");
        socket_fd theirs(ends[0]), mine(ends[1]);
        readiness::opened(theirs.get());
        std::fflush(nullptr); // or the child would write it again
        child_ = ::fork();
        if (child_ < 0) throw_errno(errno, "weft: fork");
        if (child_ == 0) be_child(theirs.get(), std::move(mine));
        control_ = std::move(mine);
        pidfd_ = socket_fd(static_cast<int>(sys::call(SYS_pidfd_open, child_, 0)));
        if (pidfd_.get() >= 0) readiness::opened(pidfd_.get());
    }

    [[noreturn]] void be_child(int control, socket_fd parents) noexcept {
        bool clean = false;
        try {
            parents.reset();
            ::fcntl(control, F_SETFL, O_NONBLOCK);
            clean = server_.serve_here(which_, control);
        } catch (const std::exception& e) {
            log_line line;
            line << "a worker of a server ends: " << e.what();
            line.write();
        } catch (...) {
        }
        std::fflush(nullptr);
        ::_exit(clean ? 0 : 1);
    }

    /// Waits for its end; one that dies is replaced.
    void watch() {
        auto pause = server_.options().min_delay;
        for (;;) {
            while (pidfd_.get() >= 0 && !wait_readable(pidfd_.get())) {}
            int status = 0;
            while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {}
            pidfd_.reset();
            control_.reset();
            clean_ = WIFEXITED(status) && WEXITSTATUS(status) == 0;
            if (stopping_) return;
            this_fiber::sleep_for(pause);
            pause = std::min(pause * 2, std::max(server_.options().max_delay, pause));
            if (stopping_) return;
            try {
                begin();
            } catch (const std::system_error&) {
                // Without memory for a process now, perhaps with the next turn: child_ has been waited for already.
            }
        }
    }

    server_core& server_;
    const std::size_t which_;
    pid_t child_ = -1;
    socket_fd pidfd_, control_;
    bool stopping_ = false;
    bool clean_ = true;
    deadline until_ = std::chrono::nanoseconds(0);
    fiber<void> watching_;
};

} // namespace

std::unique_ptr<server_worker> make_fiber_worker(server_core& server, int fd) { return std::make_unique<fiber_worker>(server, fd); }
std::unique_ptr<server_worker> make_thread_worker(server_core& server, int fd) { return std::make_unique<thread_worker>(server, fd); }
std::unique_ptr<server_worker> make_process_worker(server_core& server, std::size_t which) {
    return std::make_unique<process_worker>(server, which);
}

} // namespace weft::rt
