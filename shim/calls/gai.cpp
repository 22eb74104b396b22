// SPDX-License-Identifier: Apache-2.0
// getaddrinfo_a and gai_suspend: names that threads of libc's look up. Waiting for them suspends the fiber. GAI_WAIT is served as
// GAI_NOWAIT and gai_suspend: libc's own leaves its stack in a list when it is interrupted. And gethostent, which reads the hosts one by
// one.
#include "calls/blocking.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <algorithm>

#include <netdb.h>

namespace weft::shim {

namespace {

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000; }

/// Both answer in the resolver's error codes; a killed or timed-out fiber's call is a system error.
int suspend(const gaicb* const list[], int count, const timespec* timeout) noexcept {
    const errno_of_success success;
    deadline until;
    const bool limited = timeout != nullptr && valid(*timeout);
    if (limited)
        until = deadline(std::chrono::seconds(std::min<std::int64_t>(timeout->tv_sec, 1'000'000'000)) +
                         std::chrono::nanoseconds(timeout->tv_nsec));
    int answer = 0;
    const int result = blocking_call(timeout == nullptr, [&]() noexcept {
        const auto left = limited ? std::max<std::int64_t>(until.remaining().count(), 0) : 0;
        const timespec rest{left / 1'000'000'000, left % 1'000'000'000};
        answer = real().gai_suspend(list, count, limited ? &rest : timeout);
        return answer == EAI_INTR ? fail(EINTR) : 0;
    });
    if (result == 0) return success(answer);
    return errno == EINTR ? success(EAI_INTR) : EAI_SYSTEM;
}

int begin(int mode, gaicb* list[], int count, sigevent* event) noexcept {
    if (mode != GAI_WAIT) return real().getaddrinfo_a(mode, list, count, event);
    if (const int result = real().getaddrinfo_a(GAI_NOWAIT, list, count, nullptr); result != 0) return result;
    for (int i = 0; i < count; ++i) {
        const gaicb* const one = list[i];
        while (one != nullptr && ::gai_error(list[i]) == EAI_INPROGRESS)
            if (const int result = suspend(&one, 1, nullptr); result != 0 && result != EAI_ALLDONE) return result;
    }
    return 0;
}

/// Runs `call()` on a kernel thread with the calling thread's h_errno.
template <class F>
auto with_h_errno(F call) noexcept {
    int h_error = h_errno;
    const auto result = rt::on_kernel_thread([&]() noexcept {
        h_errno = h_error;
        const auto r = call();
        h_error = h_errno;
        return r;
    });
    h_errno = h_error;
    return result;
}

} // namespace

} // namespace weft::shim

using namespace weft::shim;

extern "C" {

WEFT_API int gai_suspend(const gaicb* const list[], int count, const timespec* timeout) {
    return serve<call::gai_suspend>(suspend, list, count, timeout);
}
WEFT_API int getaddrinfo_a(int mode, gaicb* list[], int count, sigevent* event) {
    return serve<call::getaddrinfo_a>(begin, mode, list, count, event);
}
WEFT_API hostent* gethostent() {
    return serve<call::gethostent>([]() noexcept {
        hostent* found = nullptr;
        with_h_errno([&]() noexcept { found = real().gethostent(); return 0; });
        return found;
    });
}
WEFT_API int gethostent_r(hostent* entry, char* buffer, std::size_t size, hostent** found, int* h_error) {
    return serve<call::gethostent_r>([](auto... a) noexcept { return with_h_errno([=]() noexcept { return real().gethostent_r(a...); }); },
                                     entry, buffer, size, found, h_error);
}

} // extern "C"
