// SPDX-License-Identifier: Apache-2.0
// Signals as events of a hub. The handler that the kernel calls only counts and writes to an eventfd; a background fiber of each hub that
// has handlers waits for that and spawns a fiber for each call.
#include <weft/signal.hpp>

#include "core/fork.hpp"
#include "core/hub.hpp"
#include "core/log.hpp"
#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "net/endpoint.hpp"

#include <weft/fiber.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <vector>

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace weft::rt {

namespace {

constexpr int signals = 65;

/// What the kernel's handler sees of one hub. Ports are never freed, only used again.
struct port {
    std::atomic<std::uint64_t> wanted{0}; // bit n-1: somebody of this hub handles signal n
    std::atomic<std::uint32_t> arrived[signals] = {};
    std::atomic<int> fd{-1};
    hub* owner = nullptr; // guarded by the registry below
    std::uint64_t owner_uses = 0;
    port* next = nullptr;
};

constinit std::atomic<port*> ports{nullptr};

void on_signal(int number) noexcept {
    for (port* p = ports.load(std::memory_order_acquire); p != nullptr; p = p->next) {
        if ((p->wanted.load(std::memory_order_acquire) >> (number - 1) & 1) == 0) continue;
        p->arrived[number].fetch_add(1, std::memory_order_release);
        constexpr std::uint64_t one = 1;
        if (const int fd = p->fd.load(std::memory_order_acquire); fd >= 0) sys::call(SYS_write, fd, sys::arg(&one), sizeof one);
    }
}

} // namespace

class signal_registration {
public:
    signal_registration(int number, std::shared_ptr<signal_callback> callback, port& at)
        : signal(number), fn(std::move(callback)), place(&at) {}
    const int signal;
    const std::shared_ptr<signal_callback> fn;
    port* const place;
    std::atomic<bool> cancelled{false};
};

namespace {

/// Who handles what; changed under `lock`.
struct registry {
    spinlock lock;
    std::vector<std::shared_ptr<signal_registration>> all; // oldest first
    struct sigaction before[signals] = {};
};

registry& handlers() {
    static registry* const r = new registry;
    return *r;
}

/// Real calls, whatever a shim makes of the program's.
int set_action(int number, const struct sigaction* wanted, struct sigaction* old) noexcept {
    const inside_weft inside;
    return ::sigaction(number, wanted, old) == 0 ? 0 : errno;
}

/// With the lock: the action that was there before comes back if it was the last of its signal.
void restore(registry& r, int number) noexcept {
    if (std::none_of(r.all.begin(), r.all.end(), [&](const auto& one) { return one->signal == number; }))
        set_action(number, &r.before[number], nullptr);
}

/// With the lock: the hub is gone, and with it whoever would run its handlers.
void drop_handlers(registry& r, const port& of) noexcept {
    for (std::size_t i = 0; i < r.all.size();) {
        if (r.all[i]->place != &of) {
            ++i;
            continue;
        }
        const std::shared_ptr<signal_registration> one = r.all[i];
        one->cancelled.store(true, std::memory_order_release);
        r.all.erase(r.all.begin() + static_cast<std::ptrdiff_t>(i));
        restore(r, one->signal);
    }
}

/// The background fiber of a hub: ends when the hub has no handlers left.
void dispatch(port& mine) {
    hub& h = *hub::current();
    h.count_background(1);
    struct at_end {
        hub& h;
        port& mine;
        ~at_end() {
            h.count_background(-1);
            registry& r = handlers();
            const std::lock_guard hold(r.lock);
            drop_handlers(r, mine);
            mine.wanted.store(0, std::memory_order_release);
            int fd = mine.fd.exchange(-1);
            readiness::closing(fd);
            forget_private(fd);
            mine.owner = nullptr;
        }
    } const end{h, mine};
    for (;;) {
        const int fd = mine.fd.load(std::memory_order_relaxed);
        std::uint64_t count = 0;
        if (sys::call(SYS_read, fd, sys::arg(&count), sizeof count) == -EAGAIN) wait_socket(fd, false, {}, "weft: signals");
        std::vector<std::shared_ptr<signal_registration>> calls;
        {
            registry& r = handlers();
            const std::lock_guard hold(r.lock);
            if (mine.wanted.load(std::memory_order_relaxed) == 0) return;
            for (int n = 1; n < signals; ++n) {
                for (std::uint32_t times = mine.arrived[n].exchange(0, std::memory_order_acquire); times > 0; --times)
                    for (const auto& one : r.all)
                        if (one->signal == n && one->place == &mine) calls.push_back(one);
            }
        }
        for (auto& one : calls) {
            spawn({.name = "signal"}, [one = std::move(one)] {
                if (!one->cancelled.load(std::memory_order_acquire)) one->fn->call(one->signal);
            });
        }
    }
}

void open(port& p, hub& h) {
    const inside_weft inside;
    const int fd = make_private(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd < 0) throw_errno(errno, "weft: a signal_handler");
    readiness::opened(fd);
    p.fd.store(fd, std::memory_order_release);
    p.owner = &h;
}

void start_dispatcher(port& p) {
    spawn({.name = "signals", .stack_size = 64 * 1024}, [&p] { dispatch(p); });
}

/// The calling hub's. With the registry's lock.
port& own_port() {
    hub& h = hub::ensure();
    port* idle = nullptr;
    for (port* p = ports.load(std::memory_order_relaxed); p != nullptr; p = p->next) {
        if (p->owner == &h) return *p;
        if (p->owner == nullptr) idle = p;
    }
    if (idle == nullptr) {
        idle = new port;
        idle->next = ports.load(std::memory_order_relaxed);
        ports.store(idle, std::memory_order_release);
    }
    open(*idle, h);
    start_dispatcher(*idle);
    return *idle;
}

/// The parent's eventfds are shared with it: the hub that lives on gets one of its own, the others' handlers are gone.
void after_fork() noexcept {
    registry& r = handlers();
    r.lock.reset();
    for (port* p = ports.load(std::memory_order_relaxed); p != nullptr; p = p->next) {
        int fd = p->fd.exchange(-1);
        forget_private(fd);
        for (auto& n : p->arrived) n.store(0, std::memory_order_relaxed);
        if (p->owner == nullptr) continue;
        if (p->owner != hub::current()) {
            drop_handlers(r, *p);
            p->wanted.store(0, std::memory_order_relaxed);
            p->owner = nullptr;
            continue;
        }
        try {
            open(*p, *p->owner);
            start_dispatcher(*p);
        } catch (const std::exception& e) {
            log_line line;
            line << "signals are not handled in this child: " << e.what();
            line.write();
        }
    }
}

bool may_be_handled(int number) noexcept {
    return number > 0 && number < signals && number != SIGKILL && number != SIGSTOP && number != SIGSEGV && number != SIGBUS &&
           number != SIGFPE && number != SIGILL && number != SIGTRAP && (number < 32 || number >= SIGRTMIN);
}

std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

} // namespace

} // namespace weft::rt

namespace weft {

signal_handler::signal_handler(int signal, std::shared_ptr<rt::signal_callback> callback, int) : signal_(signal) {
    if (!rt::may_be_handled(signal)) rt::throw_errno(EINVAL, "weft: a signal_handler");
    rt::registry& r = rt::handlers();
    rt::call_after_fork(rt::after_fork);
    const std::lock_guard hold(r.lock);
    rt::port& mine = rt::own_port();
    const bool first = std::none_of(r.all.begin(), r.all.end(), [&](const auto& one) { return one->signal == signal; });
    registration_ = std::make_shared<rt::signal_registration>(signal, std::move(callback), mine);
    r.all.push_back(registration_);
    mine.wanted.fetch_or(rt::bit_of(signal), std::memory_order_release);
    if (!first) return;
    struct sigaction ours {};
    ours.sa_handler = rt::on_signal;
    ours.sa_flags = SA_RESTART | SA_ONSTACK;
    ::sigemptyset(&ours.sa_mask);
    if (const int error = rt::set_action(signal, &ours, &r.before[signal]); error != 0) {
        r.all.pop_back();
        rt::throw_errno(error, "weft: a signal_handler");
    }
}

bool signal_handler::active() const noexcept { return registration_ != nullptr && !registration_->cancelled.load(std::memory_order_acquire); }

void signal_handler::cancel() noexcept {
    if (registration_ == nullptr || registration_->cancelled.exchange(true, std::memory_order_acq_rel)) return;
    rt::registry& r = rt::handlers();
    const std::lock_guard hold(r.lock);
    std::erase(r.all, registration_);
    const auto same = [&](const auto& one) { return one->signal == signal_; };
    rt::port& mine = *registration_->place;
    if (std::none_of(r.all.begin(), r.all.end(), [&](const auto& one) { return same(one) && one->place == &mine; })) {
        mine.wanted.fetch_and(~rt::bit_of(signal_), std::memory_order_release);
        if (mine.wanted.load(std::memory_order_relaxed) == 0) { // its fiber ends
            constexpr std::uint64_t one = 1;
            const int fd = mine.fd.load(std::memory_order_relaxed);
            if (fd >= 0) rt::sys::call(SYS_write, fd, rt::sys::arg(&one), sizeof one);
        }
    }
    rt::restore(r, signal_);
}

} // namespace weft
