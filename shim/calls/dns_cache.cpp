// SPDX-License-Identifier: Apache-2.0
#include "calls/dns_cache.hpp"

#include "core/fork.hpp"
#include "core/hub.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"
#include <weft/detail/spinlock.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include <fcntl.h>
#include <sys/stat.h>

namespace weft::shim::dns_cache {

namespace {

constexpr std::size_t most = 512;

struct entry {
    addrinfo* answer = nullptr;
    std::int64_t until = 0;
};

/// As they were when the answers came.
struct files {
    std::uint64_t words[3 * 4] = {};
    bool operator==(const files&) const noexcept = default;
};

struct cache {
    std::map<std::string, entry> entries;
    files seen;
};

constinit std::int64_t kept_ns = 0;
constinit rt::spinlock lock; // guards what follows
constinit cache* all = nullptr;
constinit unsigned generation = 0;

files current_files() noexcept {
    files now;
    std::uint64_t* word = now.words;
    for (const char* name : {"/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"}) {
        struct stat s {};
        if (rt::sys::call(SYS_newfstatat, AT_FDCWD, rt::sys::arg(name), rt::sys::arg(&s), 0) == 0) {
            word[0] = s.st_ino;
            word[1] = static_cast<std::uint64_t>(s.st_size);
            word[2] = static_cast<std::uint64_t>(s.st_mtim.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(s.st_mtim.tv_nsec);
            word[3] = static_cast<std::uint64_t>(s.st_ctim.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(s.st_ctim.tv_nsec);
        }
        word += 4;
    }
    return now;
}

/// As libc makes them: one block for an address, and one for a name.
addrinfo* copy(const addrinfo* from) {
    addrinfo* first = nullptr;
    addrinfo** link = &first;
    for (; from != nullptr; from = from->ai_next) {
        auto* const to = static_cast<addrinfo*>(std::malloc(sizeof(addrinfo) + from->ai_addrlen));
        if (to == nullptr) break;
        *to = *from;
        to->ai_next = nullptr;
        to->ai_addr = reinterpret_cast<sockaddr*>(to + 1);
        std::memcpy(to->ai_addr, from->ai_addr, from->ai_addrlen);
        to->ai_canonname = from->ai_canonname == nullptr ? nullptr : ::strdup(from->ai_canonname);
        *link = to;
        link = &to->ai_next;
        if (from->ai_canonname != nullptr && to->ai_canonname == nullptr) break;
    }
    if (from == nullptr) return first;
    if (first != nullptr) ::freeaddrinfo(first);
    throw std::bad_alloc();
}

void clear(cache& c) noexcept {
    for (auto& [key, e] : c.entries) ::freeaddrinfo(e.answer);
    c.entries.clear();
}

/// Holds the cache, empty where it is out of date. In the child of a fork another thread may have held it: it begins anew.
class held {
public:
    held() : cache_(get()) {
        const files now = current_files();
        if (cache_.seen == now) return;
        clear(cache_);
        cache_.seen = now;
    }
    held(const held&) = delete;
    held& operator=(const held&) = delete;
    ~held() { lock.unlock(); }
    cache* operator->() noexcept { return &cache_; }

private:
    static cache& get() {
        if (generation != rt::fork_generation()) {
            new (&lock) rt::spinlock;
            all = nullptr;
            generation = rt::fork_generation();
        }
        lock.lock();
        if (all == nullptr) all = new (std::nothrow) cache;
        if (all != nullptr) return *all;
        lock.unlock();
        throw std::bad_alloc();
    }
    const rt::inside_weft inside_; // an allocator's locks must not suspend the fiber now
    cache& cache_;
};

} // namespace

void keep_for(std::uint64_t seconds) noexcept {
    kept_ns = static_cast<std::int64_t>(std::min<std::uint64_t>(seconds, 1'000'000'000)) * 1'000'000'000;
}

bool is_on() noexcept { return kept_ns != 0; }

std::string key_of(const char* node, const char* service, const addrinfo* hints, const resolver::state& asking) {
    std::string key(node);
    key += '\0';
    key += service == nullptr ? "" : service;
    key += '\0';
    auto add = [&](const auto& value) { key.append(reinterpret_cast<const char*>(&value), sizeof value); };
    add(service == nullptr);
    add(hints == nullptr);
    if (hints != nullptr) {
        add(hints->ai_flags);
        add(hints->ai_family);
        add(hints->ai_socktype);
        add(hints->ai_protocol);
    }
    add(asking.options);
    add(asking.nsaddr_list);
    add(asking.defdname);
    return key;
}

addrinfo* find(const std::string& key) {
    held here;
    const auto at = here->entries.find(key);
    return at == here->entries.end() || rt::now_ns() >= at->second.until ? nullptr : copy(at->second.answer);
}

void keep(const std::string& key, const addrinfo* found) {
    held here;
    const std::int64_t now = rt::now_ns();
    auto& entries = here->entries;
    auto drop = [&](auto at) {
        ::freeaddrinfo(at->second.answer);
        return entries.erase(at);
    };
    if (const auto at = entries.find(key); at != entries.end()) drop(at);
    if (entries.size() >= most)
        for (auto at = entries.begin(); at != entries.end();) at = now >= at->second.until ? drop(at) : std::next(at);
    if (entries.size() >= most)
        drop(std::min_element(entries.begin(), entries.end(),
                              [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
    entry& e = entries[key];
    try {
        e = {copy(found), now + kept_ns};
    } catch (const std::bad_alloc&) {
        entries.erase(key);
        throw;
    }
}

} // namespace weft::shim::dns_cache
