// SPDX-License-Identifier: Apache-2.0
#include "calls/aio.hpp"

#include "calls/blocking.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <algorithm>

namespace weft::shim {

namespace {

static_assert(sizeof(aiocb) == sizeof(aiocb64)); // the same on this machine

bool is_done(const aiocb* request) noexcept { return ::aio_error(request) != EINPROGRESS; }

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000; }

} // namespace

namespace completion {

int suspend(const aiocb* const list[], int count, const timespec* timeout) noexcept {
    for (int i = 0; i < count; ++i)
        if (list[i] != nullptr && is_done(list[i])) return real().aio_suspend(list, count, timeout);
    // A handler with SA_RESTART restarts the one without a time limit, as the futex that libc waits for.
    if (timeout == nullptr || !valid(*timeout)) // libc has its own opinion of a bad one
        return blocking_call(timeout == nullptr, [=]() noexcept { return real().aio_suspend(list, count, timeout); });
    const deadline until(std::chrono::seconds(std::min<std::int64_t>(timeout->tv_sec, 1'000'000'000)) +
                         std::chrono::nanoseconds(timeout->tv_nsec));
    return blocking_call(false, [=]() noexcept {
        const auto left = std::max<std::int64_t>(until.remaining().count(), 0);
        const timespec rest{left / 1'000'000'000, left % 1'000'000'000};
        return real().aio_suspend(list, count, &rest);
    });
}

int list_io(int mode, aiocb* const list[], int count, sigevent* event) noexcept {
    if (mode != LIO_WAIT || count < 0) return real().lio_listio(mode, list, count, event);
    const errno_of_success success;
    const int begun = real().lio_listio(LIO_NOWAIT, list, count, nullptr);
    const int error = errno;
    auto used = [](const aiocb* request) noexcept { return request != nullptr && request->aio_lio_opcode != LIO_NOP; };
    if (begun < 0 && std::none_of(list, list + count, [&](const aiocb* r) { return used(r) && !is_done(r); })) return fail(error);
    bool failed = begun < 0;
    for (int i = 0; i < count; ++i) {
        if (!used(list[i])) continue;
        const aiocb* const one = list[i];
        while (!is_done(one))
            if (suspend(&one, 1, nullptr) < 0) return -1; // it goes on, as after libc's EINTR
        failed = failed || ::aio_error(one) != 0;
    }
    return failed ? fail(EIO) : success(0);
}

} // namespace completion

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;
namespace completion = weft::shim::completion;

extern "C" {

WEFT_API int aio_suspend(const aiocb* const list[], int count, const timespec* timeout) {
    return serve<call::aio_suspend>(completion::suspend, list, count, timeout);
}
// The header says that it throws nothing; but it is a cancellation point.
WEFT_API int weft_aio_suspend64(const aiocb64* const list[], int count, const timespec* timeout) __asm__("aio_suspend64");
WEFT_API int weft_aio_suspend64(const aiocb64* const list[], int count, const timespec* timeout) {
    return aio_suspend(reinterpret_cast<const aiocb* const*>(list), count, timeout);
}
WEFT_API int lio_listio(int mode, aiocb* const list[], int count, sigevent* event) noexcept {
    return serve<call::lio_listio>(completion::list_io, mode, list, count, event);
}
WEFT_API int lio_listio64(int mode, aiocb64* const list[], int count, sigevent* event) noexcept {
    return lio_listio(mode, reinterpret_cast<aiocb* const*>(list), count, event);
}

} // extern "C"
