// SPDX-License-Identifier: Apache-2.0
// Users, groups, services and the other databases of nsswitch.conf, whose sources may be anywhere: libc's own code looks them up, and only the
// fiber waits. Hosts are in dns.cpp.
#include "calls/stdio.hpp"

#include <weft/export.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

using weft::shim::call;
using weft::shim::serve;

namespace {

template <call c, class... A>
auto look_up(A... arguments) {
    return serve<c>(weft::shim::stdio::in_libc<c, A...>, arguments...);
}

/// As libc's, whose second half has every thread make the system call and holds a lock meanwhile that making a thread needs, too: nothing of
/// that is trapped, since a fiber must not be suspended there.
int set_groups_of(const char* user, gid_t group) {
    constexpr int few = 64;
    std::unique_ptr<gid_t[]> groups;
    int count = few, room = 0;
    do {
        room = count;
        groups.reset(new (std::nothrow) gid_t[static_cast<std::size_t>(room)]);
        if (groups == nullptr) {
            errno = ENOMEM;
            return -1;
        }
    } while (weft::shim::stdio::in_libc<call::getgrouplist>(user, group, groups.get(), &count) < 0 && count > room);
    const weft::shim::trap::untrapped real;
    const long most = ::sysconf(_SC_NGROUPS_MAX);
    if (most > 0) count = static_cast<int>(std::min<long>(count, most));
    int result = 0;
    do result = ::setgroups(static_cast<std::size_t>(count), groups.get());
    while (result != 0 && errno == EINVAL && --count > 0); // more than this kernel takes
    return result;
}

} // namespace

extern "C" {

// --- Users ---

WEFT_API passwd* getpwnam(const char* name) { return look_up<call::getpwnam>(name); }
WEFT_API int getpwnam_r(const char* name, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    return look_up<call::getpwnam_r>(name, entry, buffer, size, found);
}
WEFT_API passwd* getpwuid(uid_t uid) { return look_up<call::getpwuid>(uid); }
WEFT_API int getpwuid_r(uid_t uid, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    return look_up<call::getpwuid_r>(uid, entry, buffer, size, found);
}
WEFT_API passwd* getpwent() { return look_up<call::getpwent>(); }
WEFT_API int getpwent_r(passwd* entry, char* buffer, std::size_t size, passwd** found) {
    return look_up<call::getpwent_r>(entry, buffer, size, found);
}
WEFT_API void setpwent() { look_up<call::setpwent>(); }
WEFT_API void endpwent() { look_up<call::endpwent>(); }
WEFT_API int getpw(uid_t uid, char* buffer) { return look_up<call::getpw>(uid, buffer); }

// --- Groups ---

WEFT_API group* getgrnam(const char* name) { return look_up<call::getgrnam>(name); }
WEFT_API int getgrnam_r(const char* name, group* entry, char* buffer, std::size_t size, group** found) {
    return look_up<call::getgrnam_r>(name, entry, buffer, size, found);
}
WEFT_API group* getgrgid(gid_t gid) { return look_up<call::getgrgid>(gid); }
WEFT_API int getgrgid_r(gid_t gid, group* entry, char* buffer, std::size_t size, group** found) {
    return look_up<call::getgrgid_r>(gid, entry, buffer, size, found);
}
WEFT_API group* getgrent() { return look_up<call::getgrent>(); }
WEFT_API int getgrent_r(group* entry, char* buffer, std::size_t size, group** found) {
    return look_up<call::getgrent_r>(entry, buffer, size, found);
}
WEFT_API void setgrent() { look_up<call::setgrent>(); }
WEFT_API void endgrent() { look_up<call::endgrent>(); }
WEFT_API int getgrouplist(const char* user, gid_t group, gid_t* groups, int* count) {
    return look_up<call::getgrouplist>(user, group, groups, count);
}
WEFT_API int initgroups(const char* user, gid_t group) { return serve<call::initgroups>(set_groups_of, user, group); }

// --- Passwords ---

WEFT_API spwd* getspnam(const char* name) { return look_up<call::getspnam>(name); }
WEFT_API int getspnam_r(const char* name, spwd* entry, char* buffer, std::size_t size, spwd** found) {
    return look_up<call::getspnam_r>(name, entry, buffer, size, found);
}
WEFT_API spwd* getspent() { return look_up<call::getspent>(); }
WEFT_API int getspent_r(spwd* entry, char* buffer, std::size_t size, spwd** found) {
    return look_up<call::getspent_r>(entry, buffer, size, found);
}
WEFT_API void setspent() { look_up<call::setspent>(); }
WEFT_API void endspent() { look_up<call::endspent>(); }
WEFT_API sgrp* getsgnam(const char* name) { return look_up<call::getsgnam>(name); }
WEFT_API int getsgnam_r(const char* name, sgrp* entry, char* buffer, std::size_t size, sgrp** found) {
    return look_up<call::getsgnam_r>(name, entry, buffer, size, found);
}
WEFT_API sgrp* getsgent() { return look_up<call::getsgent>(); }
WEFT_API int getsgent_r(sgrp* entry, char* buffer, std::size_t size, sgrp** found) {
    return look_up<call::getsgent_r>(entry, buffer, size, found);
}
WEFT_API void setsgent() { look_up<call::setsgent>(); }
WEFT_API void endsgent() { look_up<call::endsgent>(); }

// --- Services ---

WEFT_API servent* getservbyname(const char* name, const char* protocol) { return look_up<call::getservbyname>(name, protocol); }
WEFT_API int getservbyname_r(const char* name, const char* protocol, servent* entry, char* buf, std::size_t size, servent** found) {
    return look_up<call::getservbyname_r>(name, protocol, entry, buf, size, found);
}
WEFT_API servent* getservbyport(int port, const char* protocol) { return look_up<call::getservbyport>(port, protocol); }
WEFT_API int getservbyport_r(int port, const char* protocol, servent* entry, char* buf, std::size_t size, servent** found) {
    return look_up<call::getservbyport_r>(port, protocol, entry, buf, size, found);
}
WEFT_API servent* getservent() { return look_up<call::getservent>(); }
WEFT_API int getservent_r(servent* entry, char* buf, std::size_t size, servent** found) {
    return look_up<call::getservent_r>(entry, buf, size, found);
}
WEFT_API void setservent(int stay_open) { look_up<call::setservent>(stay_open); }
WEFT_API void endservent() { look_up<call::endservent>(); }

// --- Protocols ---

WEFT_API protoent* getprotobyname(const char* name) { return look_up<call::getprotobyname>(name); }
WEFT_API int getprotobyname_r(const char* name, protoent* entry, char* buf, std::size_t size, protoent** found) {
    return look_up<call::getprotobyname_r>(name, entry, buf, size, found);
}
WEFT_API protoent* getprotobynumber(int protocol) { return look_up<call::getprotobynumber>(protocol); }
WEFT_API int getprotobynumber_r(int protocol, protoent* entry, char* buf, std::size_t size, protoent** found) {
    return look_up<call::getprotobynumber_r>(protocol, entry, buf, size, found);
}
WEFT_API protoent* getprotoent() { return look_up<call::getprotoent>(); }
WEFT_API int getprotoent_r(protoent* entry, char* buf, std::size_t size, protoent** found) {
    return look_up<call::getprotoent_r>(entry, buf, size, found);
}
WEFT_API void setprotoent(int stay_open) { look_up<call::setprotoent>(stay_open); }
WEFT_API void endprotoent() { look_up<call::endprotoent>(); }

// --- Networks ---

WEFT_API netent* getnetbyname(const char* name) { return look_up<call::getnetbyname>(name); }
WEFT_API int getnetbyname_r(const char* name, netent* entry, char* buf, std::size_t size, netent** found, int* h_error) {
    return look_up<call::getnetbyname_r>(name, entry, buf, size, found, h_error);
}
WEFT_API netent* getnetbyaddr(std::uint32_t net, int type) { return look_up<call::getnetbyaddr>(net, type); }
WEFT_API int getnetbyaddr_r(std::uint32_t net, int type, netent* entry, char* buf, std::size_t size, netent** found, int* h_error) {
    return look_up<call::getnetbyaddr_r>(net, type, entry, buf, size, found, h_error);
}
WEFT_API netent* getnetent() { return look_up<call::getnetent>(); }
WEFT_API int getnetent_r(netent* entry, char* buf, std::size_t size, netent** found, int* h_error) {
    return look_up<call::getnetent_r>(entry, buf, size, found, h_error);
}
WEFT_API void setnetent(int stay_open) { look_up<call::setnetent>(stay_open); }
WEFT_API void endnetent() { look_up<call::endnetent>(); }

// --- Remote procedures ---

WEFT_API rpcent* getrpcbyname(const char* name) noexcept { return look_up<call::getrpcbyname>(name); }
WEFT_API int getrpcbyname_r(const char* name, rpcent* entry, char* buffer, std::size_t size, rpcent** found) noexcept {
    return look_up<call::getrpcbyname_r>(name, entry, buffer, size, found);
}
WEFT_API rpcent* getrpcbynumber(int number) noexcept { return look_up<call::getrpcbynumber>(number); }
WEFT_API int getrpcbynumber_r(int number, rpcent* entry, char* buffer, std::size_t size, rpcent** found) noexcept {
    return look_up<call::getrpcbynumber_r>(number, entry, buffer, size, found);
}
WEFT_API rpcent* getrpcent() noexcept { return look_up<call::getrpcent>(); }
WEFT_API int getrpcent_r(rpcent* entry, char* buffer, std::size_t size, rpcent** found) noexcept {
    return look_up<call::getrpcent_r>(entry, buffer, size, found);
}
WEFT_API void setrpcent(int stayopen) noexcept { look_up<call::setrpcent>(stayopen); }
WEFT_API void endrpcent() noexcept { look_up<call::endrpcent>(); }

// --- Mail aliases ---

WEFT_API aliasent* getaliasbyname(const char* name) noexcept { return look_up<call::getaliasbyname>(name); }
WEFT_API int getaliasbyname_r(const char* name, aliasent* entry, char* buffer, std::size_t size, aliasent** found) noexcept {
    return look_up<call::getaliasbyname_r>(name, entry, buffer, size, found);
}
WEFT_API aliasent* getaliasent() noexcept { return look_up<call::getaliasent>(); }
WEFT_API int getaliasent_r(aliasent* entry, char* buffer, std::size_t size, aliasent** found) noexcept {
    return look_up<call::getaliasent_r>(entry, buffer, size, found);
}
WEFT_API void setaliasent() noexcept { look_up<call::setaliasent>(); }
WEFT_API void endaliasent() noexcept { look_up<call::endaliasent>(); }

// --- Groups of hosts and users ---

WEFT_API int setnetgrent(const char* netgroup) { return look_up<call::setnetgrent>(netgroup); }
WEFT_API void endnetgrent() { look_up<call::endnetgrent>(); }
WEFT_API int getnetgrent(char** hostp, char** userp, char** domainp) { return look_up<call::getnetgrent>(hostp, userp, domainp); }
WEFT_API int getnetgrent_r(char** hostp, char** userp, char** domainp, char* buffer, std::size_t size) {
    return look_up<call::getnetgrent_r>(hostp, userp, domainp, buffer, size);
}
WEFT_API int innetgr(const char* netgroup, const char* host, const char* user, const char* domain) {
    return look_up<call::innetgr>(netgroup, host, user, domain);
}

// --- Ethernet addresses ---

WEFT_API int ether_hostton(const char* hostname, ether_addr* address) noexcept { return look_up<call::ether_hostton>(hostname, address); }
WEFT_API int ether_ntohost(char* hostname, const ether_addr* address) noexcept { return look_up<call::ether_ntohost>(hostname, address); }

} // extern "C"
