// SPDX-License-Identifier: Apache-2.0
#pragma once

// Answers of getaddrinfo, kept for a while if the option dns_cache says so: it is off by default. Only what was found is kept, a few
// hundred answers, and none longer than the files that libc resolves by stay as they are.

#include "calls/resolver_state.hpp"

#include <cstdint>
#include <string>

#include <netdb.h>

namespace weft::shim::dns_cache {

/// Numbered in init.cpp. 0: nothing is kept.
void keep_for(std::uint64_t seconds) noexcept;
[[nodiscard]] bool is_on() noexcept;

/// What the answer depends on.
std::string key_of(const char* node, const char* service, const addrinfo* hints, const resolver::state& asking);
/// A copy of the answer, to be freed by freeaddrinfo; null if there is none. Throws bad_alloc.
addrinfo* find(const std::string& key);
void keep(const std::string& key, const addrinfo* found);

} // namespace weft::shim::dns_cache
