// SPDX-License-Identifier: Apache-2.0
// res_query and its kin: questions to name servers. libc keeps the resolver's state for each kernel thread, and two fibers may ask at
// once: so a helper thread asks with a state of its own, made from resolv.conf as it is now and from what the program has set in its own.
#include "calls/lookup.hpp"
#include "calls/resolver_state.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

namespace weft::shim {

namespace {

using resolver::state;

struct question final : lookup {
    using asker = int (*)(question&, state&) noexcept;

    asker ask;
    std::string name, domain;
    int kind = 0, type = 0; // class is a word of the language
    std::vector<unsigned char> message, answer;
    int result = -1;
    int h_error = 0;

    question(asker a, const state& s) : lookup(s), ask(a) {}

    unsigned char* room() noexcept { return answer.data(); }
    [[nodiscard]] int size() const noexcept { return static_cast<int>(answer.size()); }

    void run() noexcept override {
        state own{};
        if (::res_ninit(&own) != 0) {
            error_number = errno;
            h_error = NETDB_INTERNAL;
            return;
        }
        resolver::take_over(own, theirs);
        h_errno = h_error;
        result = ask(*this, own);
        error_number = errno;
        h_error = h_errno;
        theirs.res_h_errno = own.res_h_errno;
        ::res_nclose(&own);
    }
};

/// Asks in the place of a call that uses `theirs`; `fill` says what. As the originals: the length, or -1.
template <class Fill>
int ask(question::asker how, state& theirs, unsigned char* answer, int size, Fill fill) noexcept {
    const int saved_errno = errno;
    auto failed = [&](int error) {
        theirs.res_h_errno = h_errno = error == ENOMEM ? NETDB_INTERNAL : TRY_AGAIN;
        return fail(error);
    };
    try {
        auto job = std::make_shared<question>(how, theirs);
        fill(*job);
        job->answer.reserve(NS_HFIXEDSZ); // libc writes a header, whatever the size is
        if (size > 0) job->answer.assign(answer, answer + size); // what the answer leaves stays
        job->h_error = h_errno;
        if (const int error = look_up(job); error != 0) return failed(error);
        std::copy(job->answer.begin(), job->answer.end(), answer);
        theirs.res_h_errno = job->theirs.res_h_errno;
        h_errno = job->h_error;
        errno = job->result >= 0 && job->error_number == 0 ? saved_errno : job->error_number;
        return job->result;
    } catch (const std::exception&) {
        return failed(ENOMEM); // or no thread
    }
}

int ask_for_name(question::asker how, state& s, const char* name, const char* domain, int kind, int type, unsigned char* answer,
                 int size) noexcept {
    return ask(how, s, answer, size, [&](question& q) {
        q.name = name;
        if (domain != nullptr) q.domain = domain;
        q.kind = kind;
        q.type = type;
    });
}

} // namespace

namespace resolver {

int nquery(res_state s, const char* name, int kind, int type, unsigned char* answer, int size) noexcept {
    return ask_for_name([](question& q, state& own) noexcept {
        return real().res_nquery(&own, q.name.c_str(), q.kind, q.type, q.room(), q.size());
    }, *s, name, nullptr, kind, type, answer, size);
}

int nsearch(res_state s, const char* name, int kind, int type, unsigned char* answer, int size) noexcept {
    return ask_for_name([](question& q, state& own) noexcept {
        return real().res_nsearch(&own, q.name.c_str(), q.kind, q.type, q.room(), q.size());
    }, *s, name, nullptr, kind, type, answer, size);
}

int nquerydomain(res_state s, const char* name, const char* domain, int kind, int type, unsigned char* answer, int size) noexcept {
    if (domain == nullptr) // libc takes one trailing dot off the name then, and asks
        return ask_for_name([](question& q, state& own) noexcept {
            return real().res_nquerydomain(&own, q.name.c_str(), nullptr, q.kind, q.type, q.room(), q.size());
        }, *s, name, nullptr, kind, type, answer, size);
    return ask_for_name([](question& q, state& own) noexcept {
        return real().res_nquerydomain(&own, q.name.c_str(), q.domain.c_str(), q.kind, q.type, q.room(), q.size());
    }, *s, name, domain, kind, type, answer, size);
}

int nsend(res_state s, const unsigned char* message, int length, unsigned char* answer, int size) noexcept {
    if (length < 0) return real().res_nsend(s, message, length, answer, size); // fails at once
    return ask([](question& q, state& own) noexcept {
        return real().res_nsend(&own, q.message.data(), static_cast<int>(q.message.size()), q.room(), q.size());
    }, *s, answer, size, [&](question& q) { q.message.assign(message, message + length); });
}

int query(const char* name, int kind, int type, unsigned char* answer, int size) noexcept {
    return nquery(&current_state(), name, kind, type, answer, size);
}
int search(const char* name, int kind, int type, unsigned char* answer, int size) noexcept {
    return nsearch(&current_state(), name, kind, type, answer, size);
}
int querydomain(const char* name, const char* domain, int kind, int type, unsigned char* answer, int size) noexcept {
    return nquerydomain(&current_state(), name, domain, kind, type, answer, size);
}
int send(const unsigned char* message, int length, unsigned char* answer, int size) noexcept {
    return nsend(&current_state(), message, length, answer, size);
}

} // namespace resolver

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;
namespace resolver = weft::shim::resolver;
using byte = unsigned char;

extern "C" {

WEFT_API int res_query(const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::res_query>(resolver::query, name, kind, type, answer, size);
}
WEFT_API int res_search(const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::res_search>(resolver::search, name, kind, type, answer, size);
}
WEFT_API int res_querydomain(const char* name, const char* domain, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::res_querydomain>(resolver::querydomain, name, domain, kind, type, answer, size);
}
WEFT_API int res_send(const byte* message, int length, byte* answer, int size) noexcept {
    return serve<call::res_send>(resolver::send, message, length, answer, size);
}
WEFT_API int res_nquery(res_state s, const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::res_nquery>(resolver::nquery, s, name, kind, type, answer, size);
}
WEFT_API int res_nsearch(res_state s, const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::res_nsearch>(resolver::nsearch, s, name, kind, type, answer, size);
}
WEFT_API int res_nquerydomain(res_state s, const char* name, const char* domain, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::res_nquerydomain>(resolver::nquerydomain, s, name, domain, kind, type, answer, size);
}
WEFT_API int res_nsend(res_state s, const byte* message, int length, byte* answer, int size) noexcept {
    return serve<call::res_nsend>(resolver::nsend, s, message, length, answer, size);
}
// The names by which binaries made for older libcs know them.
WEFT_API int __res_query(const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::__res_query>(resolver::query, name, kind, type, answer, size);
}
WEFT_API int __res_search(const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::__res_search>(resolver::search, name, kind, type, answer, size);
}
WEFT_API int __res_querydomain(const char* name, const char* domain, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::__res_querydomain>(resolver::querydomain, name, domain, kind, type, answer, size);
}
WEFT_API int __res_send(const byte* message, int length, byte* answer, int size) noexcept {
    return serve<call::__res_send>(resolver::send, message, length, answer, size);
}
WEFT_API int __res_nquery(res_state s, const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::__res_nquery>(resolver::nquery, s, name, kind, type, answer, size);
}
WEFT_API int __res_nsearch(res_state s, const char* name, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::__res_nsearch>(resolver::nsearch, s, name, kind, type, answer, size);
}
WEFT_API int __res_nquerydomain(res_state s, const char* name, const char* domain, int kind, int type, byte* answer, int size) noexcept {
    return serve<call::__res_nquerydomain>(resolver::nquerydomain, s, name, domain, kind, type, answer, size);
}
WEFT_API int __res_nsend(res_state s, const byte* message, int length, byte* answer, int size) noexcept {
    return serve<call::__res_nsend>(resolver::nsend, s, message, length, answer, size);
}

} // extern "C"
