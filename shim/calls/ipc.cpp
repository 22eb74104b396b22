// SPDX-License-Identifier: Apache-2.0
#include "calls/ipc.hpp"

#include "calls/blocking.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <algorithm>

namespace weft::shim {

namespace {

constexpr timespec past{}; // an absolute time: attempts do not wait

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000; }

/// A POSIX queue. `make(until)` makes the call with that absolute time limit, or none. SA_RESTART restarts these.
template <class Make>
auto use_queue(const timespec* until, Make make) noexcept -> decltype(make(until)) {
    const errno_of_success success;
    timespec t{};
    if (until != nullptr && (!copy_from_caller(&t, until, sizeof t) || !valid(t))) return make(until); // fails at once
    if (const auto result = make(&past); result >= 0 || errno != ETIMEDOUT) return result >= 0 ? success(result) : result;
    const timespec* const limit = until == nullptr ? nullptr : &t;
    success(0);
    return blocking_call(true, [&]() noexcept { return make(limit); });
}

/// The same operations, none of which waits. EAGAIN says that one would, or that one does not wait in any case.
class attempt {
public:
    attempt(const sembuf* operations, std::size_t count) noexcept : count_(count) {
        known_ = count > 0 && count <= most && copy_from_caller(operations_, operations, count * sizeof *operations);
        if (!known_) return;
        for (std::size_t i = 0; i < count; ++i) operations_[i].sem_flg = static_cast<short>(operations_[i].sem_flg | IPC_NOWAIT);
    }
    /// False: it has to be found out on a kernel thread.
    bool make(int set, int& result) noexcept {
        if (!known_) return false;
        result = real().semop(set, operations_, count_);
        return result == 0 || errno != EAGAIN;
    }

private:
    static constexpr std::size_t most = 16;
    const std::size_t count_;
    bool known_;
    sembuf operations_[most];
};

} // namespace

namespace ipc {

ssize_t mq_timedreceive(mqd_t queue, char* message, std::size_t size, unsigned* priority, const timespec* until) noexcept {
    return use_queue(until, [=](const timespec* t) noexcept { return real().mq_timedreceive(queue, message, size, priority, t); });
}

ssize_t mq_receive(mqd_t queue, char* message, std::size_t size, unsigned* priority) noexcept {
    return ipc::mq_timedreceive(queue, message, size, priority, nullptr);
}

int mq_timedsend(mqd_t queue, const char* message, std::size_t size, unsigned priority, const timespec* until) noexcept {
    return use_queue(until, [=](const timespec* t) noexcept { return real().mq_timedsend(queue, message, size, priority, t); });
}

int mq_send(mqd_t queue, const char* message, std::size_t size, unsigned priority) noexcept {
    return ipc::mq_timedsend(queue, message, size, priority, nullptr);
}

// System V's are interrupted by any handler, SA_RESTART or not.

ssize_t msgrcv(int queue, void* message, std::size_t size, long type, int flags) noexcept {
    const errno_of_success success;
    const ssize_t n = real().msgrcv(queue, message, size, type, flags | IPC_NOWAIT);
    if (n >= 0) return success(n);
    if (errno != ENOMSG || (flags & IPC_NOWAIT) != 0) return n;
    success(0);
    return blocking_call(false, [=]() noexcept { return real().msgrcv(queue, message, size, type, flags); });
}

int msgsnd(int queue, const void* message, std::size_t size, int flags) noexcept {
    const errno_of_success success;
    const int result = real().msgsnd(queue, message, size, flags | IPC_NOWAIT);
    if (result == 0) return success(0);
    if (errno != EAGAIN || (flags & IPC_NOWAIT) != 0) return result;
    success(0);
    return blocking_call(false, [=]() noexcept { return real().msgsnd(queue, message, size, flags); });
}

int semtimedop(int set, sembuf* operations, std::size_t count, const timespec* timeout) noexcept {
    const errno_of_success success;
    timespec t{};
    if (timeout != nullptr && (!copy_from_caller(&t, timeout, sizeof t) || !valid(t)))
        return real().semtimedop(set, operations, count, timeout); // fails at once
    deadline until;
    if (timeout != nullptr && std::chrono::seconds(t.tv_sec) < std::chrono::hours(24 * 365 * 100))
        until = deadline(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
    int result = 0;
    if (attempt now(operations, count); now.make(set, result)) return result == 0 ? success(0) : result;
    success(0);
    return blocking_call(false, [=]() noexcept {
        if (until.is_never()) return real().semop(set, operations, count);
        const auto left = std::max<std::int64_t>(until.remaining().count(), 0);
        const timespec rest{left / 1'000'000'000, left % 1'000'000'000};
        return real().semtimedop(set, operations, count, &rest);
    });
}

int semop(int set, sembuf* operations, std::size_t count) noexcept {
    return ipc::semtimedop(set, operations, count, nullptr);
}

} // namespace ipc

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;
namespace ipc = weft::shim::ipc;

extern "C" {

WEFT_API ssize_t mq_receive(mqd_t queue, char* message, std::size_t size, unsigned* priority) {
    return serve<call::mq_receive>(ipc::mq_receive, queue, message, size, priority);
}
WEFT_API ssize_t mq_timedreceive(mqd_t queue, char* message, std::size_t size, unsigned* priority, const timespec* until) {
    return serve<call::mq_timedreceive>(ipc::mq_timedreceive, queue, message, size, priority, until);
}
WEFT_API int mq_send(mqd_t queue, const char* message, std::size_t size, unsigned priority) {
    return serve<call::mq_send>(ipc::mq_send, queue, message, size, priority);
}
WEFT_API int mq_timedsend(mqd_t queue, const char* message, std::size_t size, unsigned priority, const timespec* until) {
    return serve<call::mq_timedsend>(ipc::mq_timedsend, queue, message, size, priority, until);
}
WEFT_API ssize_t msgrcv(int queue, void* message, std::size_t size, long type, int flags) {
    return serve<call::msgrcv>(ipc::msgrcv, queue, message, size, type, flags);
}
WEFT_API int msgsnd(int queue, const void* message, std::size_t size, int flags) {
    return serve<call::msgsnd>(ipc::msgsnd, queue, message, size, flags);
}
WEFT_API int semop(int set, sembuf* operations, std::size_t count) noexcept {
    return serve<call::semop>(ipc::semop, set, operations, count);
}
WEFT_API int semtimedop(int set, sembuf* operations, std::size_t count, const timespec* timeout) noexcept {
    return serve<call::semtimedop>(ipc::semtimedop, set, operations, count, timeout);
}

} // extern "C"
