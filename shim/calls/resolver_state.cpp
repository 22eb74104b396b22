// SPDX-License-Identifier: Apache-2.0
#include "calls/resolver_state.hpp"

#include "core/real.hpp"

#include <cstddef>
#include <cstring>

#include <netinet/in.h>

namespace weft::shim::resolver {

namespace {

/// Where in the state's own buffer a domain to search in lies; -1 if it is the program's string, or none.
std::ptrdiff_t within(const state& s, int i) noexcept {
    const std::ptrdiff_t at = s.dnsrch[i] == nullptr ? -1 : s.dnsrch[i] - s.defdname;
    return at >= 0 && at < static_cast<std::ptrdiff_t>(sizeof s.defdname) ? at : -1;
}

bool same_domains(const state& a, const state& b) noexcept {
    for (int i = 0; i <= MAXDNSRCH; ++i)
        if (within(a, i) != within(b, i) || (within(a, i) < 0 && a.dnsrch[i] != b.dnsrch[i])) return false;
    return true;
}

bool same(const state& a, const state& b) noexcept {
    return a.retrans == b.retrans && a.retry == b.retry && a.options == b.options && a.ndots == b.ndots && a.nscount == b.nscount &&
           std::memcmp(a.nsaddr_list, b.nsaddr_list, sizeof a.nsaddr_list) == 0 &&
           std::memcmp(a.defdname, b.defdname, sizeof a.defdname) == 0 && same_domains(a, b);
}

} // namespace

void copy(state& to, const state& from) noexcept {
    std::memcpy(&to, &from, sizeof to);
    for (int i = 0; i <= MAXDNSRCH; ++i)
        if (const std::ptrdiff_t at = within(from, i); at >= 0) to.dnsrch[i] = to.defdname + at;
}

state& current_state() noexcept {
    hostent entry{}, *found = nullptr;
    char buffer[256];
    int h_error = 0;
    real().gethostbyname_r("127.0.0.1", &entry, buffer, sizeof buffer, &found, &h_error); // asks nobody, but looks at the file
    return *::__res_state();
}

void take_over(state& own, const state& theirs) noexcept {
    own.retrans = theirs.retrans;
    own.retry = theirs.retry;
    own.options = theirs.options;
    own.ndots = theirs.ndots;
    own.res_h_errno = theirs.res_h_errno;
    for (int i = 0; i < theirs.nscount && i < MAXNS; ++i)
        if (theirs.nsaddr_list[i].sin_family == AF_INET) own.nsaddr_list[i] = theirs.nsaddr_list[i]; // the others are in resolv.conf
    own.nscount = theirs.nscount;
    std::memcpy(own.defdname, theirs.defdname, sizeof own.defdname);
    for (int i = 0; i <= MAXDNSRCH; ++i) {
        const std::ptrdiff_t at = within(theirs, i);
        own.dnsrch[i] = at >= 0 ? own.defdname + at : theirs.dnsrch[i];
    }
}

borrowed_state::borrowed_state(const state& theirs) noexcept {
    state& own = current_state();
    if (same(own, theirs)) return;
    changed_ = &own;
    std::memcpy(&before_, &own, sizeof own);
    take_over(own, theirs);
}

borrowed_state::~borrowed_state() {
    if (changed_ == nullptr) return;
    take_over(*changed_, before_);
    std::memcpy(changed_->nsaddr_list, before_.nsaddr_list, sizeof before_.nsaddr_list);
    std::memcpy(changed_->defdname, before_.defdname, sizeof before_.defdname);
    std::memcpy(changed_->dnsrch, before_.dnsrch, sizeof before_.dnsrch); // it was the same object
}

} // namespace weft::shim::resolver
