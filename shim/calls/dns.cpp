// SPDX-License-Identifier: Apache-2.0
// Name resolution, on weft's helper kernel threads: whatever nsswitch.conf says happens there, in libc's own code.
#include "calls/dns_cache.hpp"
#include "calls/lookup.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <arpa/inet.h>

namespace weft::shim {

namespace {

struct address_lookup final : lookup {
    std::optional<std::string> node, service;
    std::optional<addrinfo> hints;
    addrinfo* found = nullptr;
    int result = 0;

    void run() noexcept override {
        const resolver::borrowed_state here(theirs);
        result = real().getaddrinfo(node ? node->c_str() : nullptr, service ? service->c_str() : nullptr,
                                    hints ? &*hints : nullptr, &found);
        error_number = errno;
    }
    ~address_lookup() override {
        if (found != nullptr) ::freeaddrinfo(found);
    }
};

bool is_numeric(const char* node) noexcept {
    in6_addr any{};
    return ::inet_pton(AF_INET, node, &any) == 1 || ::inet_pton(AF_INET6, node, &any) == 1;
}

int get_address(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
    auto job = std::make_shared<address_lookup>();
    const std::string key = dns_cache::is_on() ? dns_cache::key_of(node, service, hints, job->theirs) : std::string();
    if (dns_cache::is_on())
        if (addrinfo* const kept = dns_cache::find(key)) {
            *result = kept;
            return 0;
        }
    job->node = node;
    if (service != nullptr) job->service = service;
    if (hints != nullptr) {
        job->hints = addrinfo{};
        job->hints->ai_flags = hints->ai_flags;
        job->hints->ai_family = hints->ai_family;
        job->hints->ai_socktype = hints->ai_socktype;
        job->hints->ai_protocol = hints->ai_protocol;
    }
    if (const int error = look_up(job); error != 0) {
        errno = error;
        return EAI_SYSTEM;
    }
    if (job->result == EAI_SYSTEM) errno = job->error_number;
    if (job->result == 0) {
        if (dns_cache::is_on()) dns_cache::keep(key, job->found);
        *result = std::exchange(job->found, nullptr);
    }
    return job->result;
}

struct name_lookup final : lookup {
    std::vector<char> address;
    std::vector<char> host, service;
    int flags = 0;
    int result = 0;

    void run() noexcept override {
        const resolver::borrowed_state here(theirs);
        result = real().getnameinfo(reinterpret_cast<const sockaddr*>(address.data()),
                                    static_cast<socklen_t>(address.size()), host.empty() ? nullptr : host.data(),
                                    static_cast<socklen_t>(host.size()), service.empty() ? nullptr : service.data(),
                                    static_cast<socklen_t>(service.size()), flags);
        error_number = errno;
    }
};

int get_name(const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service,
             socklen_t service_size, int flags) {
    auto job = std::make_shared<name_lookup>();
    const auto* bytes = reinterpret_cast<const char*>(address);
    job->address.assign(bytes, bytes + size);
    if (host != nullptr) job->host.resize(host_size);
    if (service != nullptr) job->service.resize(service_size);
    job->flags = flags;
    if (const int error = look_up(job); error != 0) {
        errno = error;
        return EAI_SYSTEM;
    }
    if (job->result == EAI_SYSTEM) errno = job->error_number;
    if (job->result == 0) {
        if (!job->host.empty()) std::memcpy(host, job->host.data(), host_size);
        if (!job->service.empty()) std::memcpy(service, job->service.data(), service_size);
    }
    return job->result;
}

/// gethostby*: the entry points into the job's own buffer, which is given to the caller with it.
struct host_lookup final : lookup {
    std::string name;          // or the address, for gethostbyaddr
    bool by_address = false;
    int family = AF_UNSPEC;    // unspecified: gethostbyname's own choice
    std::size_t buffer_size = 1024;
    bool may_grow = true;
    std::unique_ptr<char[]> buffer;
    hostent entry{};
    hostent* found = nullptr;
    int h_error = 0;
    int result = 0;

    void run() noexcept override {
        const resolver::borrowed_state here(theirs);
        do {
            buffer.reset(new (std::nothrow) char[buffer_size]);
            if (buffer == nullptr) {
                result = ENOMEM;
                h_error = NETDB_INTERNAL;
                return;
            }
            if (by_address)
                result = real().gethostbyaddr_r(name.data(), static_cast<socklen_t>(name.size()), family, &entry,
                                                buffer.get(), buffer_size, &found, &h_error);
            else if (family == AF_UNSPEC)
                result = real().gethostbyname_r(name.c_str(), &entry, buffer.get(), buffer_size, &found, &h_error);
            else
                result = real().gethostbyname2_r(name.c_str(), family, &entry, buffer.get(), buffer_size, &found, &h_error);
            error_number = errno;
        } while (result == ERANGE && may_grow && (buffer_size *= 2) <= (1U << 20));
    }
};

constinit std::atomic<std::shared_ptr<host_lookup>*> last{nullptr};

/// The forms without _r keep their answer until the next call, of whichever fiber.
hostent* get_host(std::shared_ptr<host_lookup> job) {
    if (const int error = look_up(job); error != 0) {
        errno = error;
        h_errno = TRY_AGAIN;
        return nullptr;
    }
    if (job->h_error != 0) h_errno = job->h_error; // as libc, which leaves it alone on success
    if (job->result != 0 || job->found == nullptr) {
        errno = job->error_number;
        return nullptr;
    }
    hostent* const answer = &job->entry;
    delete last.exchange(new std::shared_ptr<host_lookup>(std::move(job)), std::memory_order_acq_rel);
    return answer;
}

/// Moves the answer into the caller's buffer: everything points into ours, so one shift does it.
int deliver(host_lookup& job, hostent* entry, char* buffer, std::size_t size, hostent** found, int* h_error) noexcept {
    *found = nullptr;
    *h_error = job.h_error;
    errno = job.error_number;
    if (job.result != 0 || job.found == nullptr) return job.result;
    const auto shift = [&](auto*& p) noexcept {
        if (p == nullptr) return;
        auto* old = const_cast<char*>(reinterpret_cast<const char*>(p));
        p = reinterpret_cast<std::remove_reference_t<decltype(p)>>(buffer + (old - job.buffer.get()));
    };
    std::memcpy(buffer, job.buffer.get(), std::min(size, job.buffer_size));
    *entry = job.entry;
    shift(entry->h_name);
    for (char*** list : {&entry->h_aliases, &entry->h_addr_list}) {
        if (*list == nullptr) continue;
        shift(*list);
        for (char** p = *list; *p != nullptr; ++p) shift(*p);
    }
    *found = entry;
    return 0;
}

int get_host_r(std::shared_ptr<host_lookup> job, hostent* entry, char* buffer, std::size_t size, hostent** found,
               int* h_error) {
    job->buffer_size = size;
    job->may_grow = false;
    if (const int error = look_up(job); error != 0) {
        *found = nullptr;
        *h_error = TRY_AGAIN;
        errno = error;
        return error;
    }
    return deliver(*job, entry, buffer, size, found, h_error);
}

std::shared_ptr<host_lookup> by_name(const char* name, int family) {
    auto job = std::make_shared<host_lookup>();
    job->name = name;
    job->family = family;
    return job;
}

std::shared_ptr<host_lookup> by_address(const void* address, socklen_t size, int family) {
    auto job = std::make_shared<host_lookup>();
    job->name.assign(static_cast<const char*>(address), size);
    job->by_address = true;
    job->family = family;
    return job;
}

/// Nothing may cross into the C caller: without memory or a thread these calls say so in their own way.
template <class F>
hostent* guarded(F call) noexcept {
    try {
        return call();
    } catch (const std::exception&) {
        errno = ENOMEM;
        h_errno = NETDB_INTERNAL;
        return nullptr;
    }
}

template <class F>
int guarded_r(hostent** found, int* h_error, F call) noexcept {
    try {
        return call();
    } catch (const std::exception&) {
        *found = nullptr;
        *h_error = NETDB_INTERNAL;
        return errno = ENOMEM;
    }
}

} // namespace

namespace names {

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) noexcept {
    if (node == nullptr || (hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) != 0) || is_numeric(node)) { // asks nobody
        stats::never_waits();
        return real().getaddrinfo(node, service, hints, result);
    }
    try {
        return get_address(node, service, hints, result);
    } catch (const std::exception&) {
        return EAI_MEMORY; // no memory, or no thread
    }
}

int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service, socklen_t service_size,
                int flags) noexcept {
    if (address == nullptr || (flags & NI_NUMERICHOST) != 0 || host == nullptr) {
        stats::never_waits();
        return real().getnameinfo(address, size, host, host_size, service, service_size, flags);
    }
    try {
        return get_name(address, size, host, host_size, service, service_size, flags);
    } catch (const std::exception&) {
        return EAI_MEMORY; // no memory, or no thread
    }
}

hostent* gethostbyname(const char* name) noexcept {
    if (name == nullptr) return real().gethostbyname(name);
    return guarded([&] { return get_host(by_name(name, AF_UNSPEC)); });
}

hostent* gethostbyname2(const char* name, int family) noexcept {
    if (name == nullptr) return real().gethostbyname2(name, family);
    return guarded([&] { return get_host(by_name(name, family)); });
}

hostent* gethostbyaddr(const void* address, socklen_t size, int family) noexcept {
    if (address == nullptr) return real().gethostbyaddr(address, size, family);
    return guarded([&] { return get_host(by_address(address, size, family)); });
}

int gethostbyname_r(const char* name, hostent* entry, char* buffer, std::size_t size, hostent** found, int* h_error) noexcept {
    if (name == nullptr) return real().gethostbyname_r(name, entry, buffer, size, found, h_error);
    return guarded_r(found, h_error, [&] { return get_host_r(by_name(name, AF_UNSPEC), entry, buffer, size, found, h_error); });
}

int gethostbyname2_r(const char* name, int family, hostent* entry, char* buffer, std::size_t size, hostent** found, int* h_error) noexcept {
    if (name == nullptr) return real().gethostbyname2_r(name, family, entry, buffer, size, found, h_error);
    return guarded_r(found, h_error, [&] { return get_host_r(by_name(name, family), entry, buffer, size, found, h_error); });
}

int gethostbyaddr_r(const void* address, socklen_t size, int family, hostent* entry, char* buffer, std::size_t buffer_size,
                    hostent** found, int* h_error) noexcept {
    if (address == nullptr) return real().gethostbyaddr_r(address, size, family, entry, buffer, buffer_size, found, h_error);
    return guarded_r(found, h_error, [&] { return get_host_r(by_address(address, size, family), entry, buffer, buffer_size, found, h_error); });
}

} // namespace names

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;
namespace names = weft::shim::names;

extern "C" {

WEFT_API int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
    return serve<call::getaddrinfo>(names::getaddrinfo, node, service, hints, result);
}
WEFT_API int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service,
                         socklen_t service_size, int flags) {
    return serve<call::getnameinfo>(names::getnameinfo, address, size, host, host_size, service, service_size, flags);
}
WEFT_API hostent* gethostbyname(const char* name) { return serve<call::gethostbyname>(names::gethostbyname, name); }
WEFT_API hostent* gethostbyname2(const char* name, int family) {
    return serve<call::gethostbyname2>(names::gethostbyname2, name, family);
}
WEFT_API hostent* gethostbyaddr(const void* address, socklen_t size, int family) {
    return serve<call::gethostbyaddr>(names::gethostbyaddr, address, size, family);
}
WEFT_API int gethostbyname_r(const char* name, hostent* entry, char* buffer, std::size_t size, hostent** found,
                             int* h_error) {
    return serve<call::gethostbyname_r>(names::gethostbyname_r, name, entry, buffer, size, found, h_error);
}
WEFT_API int gethostbyname2_r(const char* name, int family, hostent* entry, char* buffer, std::size_t size,
                              hostent** found, int* h_error) {
    return serve<call::gethostbyname2_r>(names::gethostbyname2_r, name, family, entry, buffer, size, found, h_error);
}
WEFT_API int gethostbyaddr_r(const void* address, socklen_t size, int family, hostent* entry, char* buffer,
                             std::size_t buffer_size, hostent** found, int* h_error) {
    return serve<call::gethostbyaddr_r>(names::gethostbyaddr_r, address, size, family, entry, buffer, buffer_size, found, h_error);
}

} // extern "C"
