// SPDX-License-Identifier: Apache-2.0
// A worker has one end of a pair of sockets. A request is the address of what to call, which is the same in a fork, and its arguments; an
// answer a letter, and the result or the exception. An empty request ends it, and so does the end of its parent.
#include <weft/detail/worker_set.hpp>

#include "core/sys.hpp"
#include "work/descriptors.hpp"

#include <weft/detail/packing.hpp>
#include <weft/detail/process_pool.hpp>
#include <weft/detail/shared_core.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <system_error>
#include <thread>

#include <unistd.h>

namespace weft::rt {

namespace {

enum class answer : char { value = 'v', exception = 'e' };

/// Until the descriptor says `events`, or the process behind the pidfd has ended.
void await_either(int fd, short events, int pidfd) {
    std::array<pollfd, 2> either{pollfd{fd, events, 0}, pollfd{pidfd, POLLIN, 0}};
    await_any(either, {});
}

std::string answer_to(std::string_view request) {
    std::string result(1, static_cast<char>(answer::value));
    try {
        const auto call = reinterpret_cast<remote_call>(unpack<std::uintptr_t>(request));
        call(request, result);
    } catch (...) {
        result.assign(1, static_cast<char>(answer::exception));
        result += pack_exception(std::current_exception());
    }
    return result;
}

/// What a worker does all its life.
int serve(message_end& requests, int parent) {
    std::string request;
    for (;;) {
        long n = requests.receive_now(request);
        if (n == -EAGAIN) {
            pollfd orphaned{parent, POLLIN, 0};
            if (sys::call(SYS_poll, sys::arg(&orphaned), 1, 0) > 0) return 0;
            await_either(requests.fd(), POLLIN, parent);
            continue;
        }
        if (n <= 0 || request.empty()) return 0;
        const std::string reply = answer_to(request);
        while ((n = requests.send_now(reply)) == -EAGAIN) await_either(requests.fd(), POLLOUT, parent);
        if (n == -EPIPE) return 0;
        if (n < 0) throw std::system_error(static_cast<int>(-n), std::generic_category(), "weft: a worker's answer");
    }
}

} // namespace

struct worker_set::worker {
    std::shared_ptr<process_record> process;
    std::unique_ptr<message_end> socket;
    bool busy = false; // it has a request, and nobody has heard its answer
    spinlock lock; // guards `process` against terminate
    [[nodiscard]] child& of() const noexcept { return *process->child; }
};

worker_set::worker_set(std::size_t n) : size_(n) {
    if (n == 0) throw std::invalid_argument("weft: a process pool needs processes");
    try {
        for (std::size_t i = 0; i < n; ++i) {
            all_.push_back(std::make_unique<worker>());
            start(*all_.back());
            free_.put(all_.back().get());
        }
    } catch (...) {
        terminate();
        throw;
    }
}

worker_set::~worker_set() {
    const no_interruption on_the_way_out;
    leftovers_.kill();
    for (const auto& w : all_)
        if (w->process != nullptr) w->of().wait({});
}

std::size_t processors() noexcept { return std::max<std::size_t>(std::thread::hardware_concurrency(), 1); }

void worker_set::start(worker& w) {
    int ends[2];
    message_end::make(ends);
    auto mine = std::make_unique<message_end>(ends[0]);
    message_end theirs(ends[1]);
    const pid_t parent = ::getpid();
    auto run = [&] {
        mine->close();
        const long watched = sys::call(SYS_pidfd_open, parent, 0);
        return ::getppid() == parent && watched >= 0 ? serve(theirs, static_cast<int>(watched)) : 1;
    };
    auto process = fork_process("process-pool worker", true, 8 * 1024 * 1024, [](void* r) { return (*static_cast<decltype(run)*>(r))(); }, &run);
    process->end_signal.store(SIGKILL); // whatever is done with SIGTERM in this program
    w.socket = std::move(mine);
    w.lock.lock();
    w.process.swap(process);
    w.lock.unlock();
    if (terminated_.load()) w.of().send_signal(SIGKILL); // meanwhile
}

// --- One call ---

std::string worker_set::call(std::string_view request) {
    worker* w = nullptr;
    try {
        w = free_.get();
    } catch (const queue_shutdown&) {
        throw fiber_killed("the process pool was terminated before the job's end");
    }
    struct give_back { // unless somebody else does
        worker_set& to;
        worker* w;
        ~give_back() {
            if (w != nullptr) (void)to.free_.try_put(w);
        }
    } keeper{*this, w};
    if (w->of().ended()) { // while it had nothing to do
        if (terminated_.load()) throw fiber_killed("the process pool was terminated before the job's end");
        start(*w);
    }
    for (;;) {
        const long n = w->socket->send_now(request);
        if (n > 0) break;
        if (n == -EPIPE) died(*w);
        if (n != -EAGAIN) throw std::system_error(static_cast<int>(-n), std::generic_category(), "weft: a request to a worker");
        const child::descriptor watched(w->of());
        await_either(w->socket->fd(), POLLOUT, watched.get());
        if (w->of().ended()) died(*w);
    }
    w->busy = true;
    std::string reply;
    try {
        reply = reply_of(*w);
    } catch (...) {
        if (w->busy) leave_to_others(*std::exchange(keeper.w, nullptr));
        throw;
    }
    if (reply.front() == static_cast<char>(answer::exception)) throw_packed(std::string_view(reply).substr(1));
    reply.erase(0, 1);
    return reply;
}

std::string worker_set::reply_of(worker& w) {
    for (std::string reply;;) {
        const bool ended = w.of().ended(); // before the look, so that a last word is heard
        const long n = w.socket->receive_now(reply);
        if (n > 0) {
            w.busy = false;
            return reply;
        }
        if (n == 0 || ended) died(w);
        if (n != -EAGAIN) throw std::system_error(static_cast<int>(-n), std::generic_category(), "weft: a worker's answer");
        const child::descriptor watched(w.of());
        await_either(w.socket->fd(), POLLIN, watched.get());
    }
}

/// The caller goes, the job does not.
void worker_set::leave_to_others(worker& w) {
    leftovers_.spawn([this, &w] {
        try {
            reply_of(w);
        } catch (const std::exception&) { // it died, and was replaced
        }
        (void)free_.try_put(&w);
    });
}

/// Its place is taken by another.
void worker_set::died(worker& w) {
    w.of().wait({});
    w.busy = false;
    if (terminated_.load()) throw fiber_killed("the process pool was terminated before the job's end");
    std::optional<int> code;
    try {
        code = w.of().poll();
    } catch (const std::system_error&) {
    }
    const std::string who = "the worker process " + std::to_string(w.of().pid());
    start(w);
    if (!code) throw process_error(who + " died");
    throw process_error(who + (*code < 0 ? " was ended by signal " + std::to_string(-*code) : " ended with status " + std::to_string(*code)) +
                            " during the job",
                        code);
}

// --- All of them ---

void worker_set::check_open() const {
    if (closed_.load()) throw std::logic_error("weft: the process pool is closed");
}

void worker_set::close() { closed_.store(true); }

void worker_set::terminate() {
    closed_.store(true);
    terminated_.store(true);
    free_.shutdown(true);
    for (const auto& w : all_) {
        w->lock.lock();
        const auto process = w->process;
        w->lock.unlock();
        if (process != nullptr) process->child->send_signal(SIGKILL);
    }
}

bool worker_set::join(deadline d) {
    if (!leftovers_.join(d)) return false;
    if (!closed_.load()) return true;
    for (const auto& w : all_) {
        if (!terminated_.load() && !w->of().ended()) (void)w->socket->send_now({});
        if (!w->of().wait(d)) return false;
    }
    return true;
}

} // namespace weft::rt
