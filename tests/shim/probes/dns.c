// SPDX-License-Identifier: Apache-2.0
// getaddrinfo, getnameinfo, gethostby*. Times are left out: they depend on the resolver.
#include "probe.h"

#include <netdb.h>

static void resolved(const char* text, long result) { probe_line(result, 0, text, (long)strlen(text), -1, -1); }

static void look_up(const char* name, const char* service, int family, int type, int flags) {
    const struct addrinfo want = {.ai_family = family, .ai_socktype = type, .ai_flags = flags};
    struct addrinfo* list = NULL;
    char text[200] = "", one[80], host[INET6_ADDRSTRLEN];
    const int result = getaddrinfo(name, service, &want, &list);
    for (struct addrinfo* a = list; a && result == 0; a = a->ai_next) {
        const int four = a->ai_family == AF_INET;
        const void* address = four ? (void*)&((struct sockaddr_in*)a->ai_addr)->sin_addr
                                   : (void*)&((struct sockaddr_in6*)a->ai_addr)->sin6_addr;
        const int port = ntohs(four ? ((struct sockaddr_in*)a->ai_addr)->sin_port
                                    : ((struct sockaddr_in6*)a->ai_addr)->sin6_port);
        inet_ntop(a->ai_family, address, host, sizeof host);
        snprintf(one, sizeof one, "%s:%d/%d;", host, port, a->ai_socktype);
        strncat(text, one, sizeof text - strlen(text) - 1);
        if (a->ai_canonname) strncat(text, a->ai_canonname, sizeof text - strlen(text) - 1);
    }
    if (result == 0) freeaddrinfo(list);
    // Long lists are told apart by a hash, the rest is readable.
    unsigned long hash = 5381;
    for (const char* c = text; *c; ++c) hash = hash * 33 + (unsigned char)*c;
    probe_line(result, 0, text, (long)strlen(text), (long)(hash & 0xffffffff), -1);
}

PROBE(addresses) {
    label("addresses/numeric"), look_up("127.0.0.1", "80", AF_INET, SOCK_STREAM, 0);
    label("addresses/numeric6"), look_up("::1", "80", AF_INET6, SOCK_STREAM, 0);
    label("addresses/numeric_flag"), look_up("10.1.2.3", "80", AF_UNSPEC, SOCK_STREAM, AI_NUMERICHOST | AI_NUMERICSERV);
    label("addresses/localhost"), look_up("localhost", NULL, AF_INET, SOCK_STREAM, 0);
    label("addresses/localhost_all"), look_up("localhost", "443", AF_UNSPEC, 0, 0);
    label("addresses/canonical"), look_up("localhost", NULL, AF_INET, SOCK_STREAM, AI_CANONNAME);
    label("addresses/passive"), look_up(NULL, "80", AF_INET, SOCK_STREAM, AI_PASSIVE);
    label("addresses/nobody"), look_up(NULL, "80", AF_INET, SOCK_STREAM, 0);
    label("addresses/service_name"), look_up("127.0.0.1", "http", AF_INET, SOCK_STREAM, 0);
    label("addresses/datagram"), look_up("127.0.0.1", "domain", AF_INET, SOCK_DGRAM, 0);
    label("addresses/mapped"), look_up("127.0.0.1", "1", AF_INET6, SOCK_STREAM, AI_V4MAPPED);
}

PROBE(failures) {
    label("failures/name"), look_up("no-such-host.invalid", NULL, AF_INET, SOCK_STREAM, 0);
    label("failures/numeric_only"), look_up("localhost", NULL, AF_INET, SOCK_STREAM, AI_NUMERICHOST);
    label("failures/service"), look_up("127.0.0.1", "no-such-service", AF_INET, SOCK_STREAM, 0);
    label("failures/service_only_numeric"), look_up("127.0.0.1", "http", AF_INET, SOCK_STREAM, AI_NUMERICSERV);
    label("failures/family"), look_up("127.0.0.1", "80", 99, SOCK_STREAM, 0);
    label("failures/address_family"), look_up("::1", "80", AF_INET, SOCK_STREAM, 0);
    label("failures/socktype"), look_up("127.0.0.1", "80", AF_INET, 77, 0);
    label("failures/flags"), look_up("127.0.0.1", "80", AF_INET, SOCK_STREAM, 0x7f000000);
    label("failures/nothing"), look_up(NULL, NULL, AF_INET, SOCK_STREAM, 0);
    label("failures/empty"), look_up("", NULL, AF_INET, SOCK_STREAM, 0);
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    label("failures/long_name"), look_up(longer, NULL, AF_INET, SOCK_STREAM, 0);
}

PROBE(no_hints) {
    struct addrinfo* list = NULL;
    const int result = getaddrinfo("127.0.0.1", NULL, NULL, &list);
    int count = 0;
    for (struct addrinfo* a = list; a; a = a->ai_next) ++count;
    probe_line(result, 0, NULL, 0, count, -1);
    if (list) freeaddrinfo(list);
}

PROBE(names) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr* address = (struct sockaddr*)&where;
    char host[100] = "", service[100] = "", small[2];
    label("names/numeric");
    resolved(host, getnameinfo(address, sizeof where, host, sizeof host, NULL, 0, NI_NUMERICHOST));
    label("names/name");
    resolved(host, getnameinfo(address, sizeof where, host, sizeof host, service, sizeof service, 0));
    resolved(service, 0);
    label("names/datagram");
    where.sin_port = htons(53);
    resolved(service, getnameinfo(address, sizeof where, NULL, 0, service, sizeof service, NI_DGRAM));
    label("names/overflow");
    resolved("", getnameinfo(address, sizeof where, small, sizeof small, NULL, 0, NI_NUMERICHOST));
    label("names/family");
    resolved("", getnameinfo(address, 4, host, sizeof host, NULL, 0, 0));
    label("names/nothing_asked");
    resolved("", getnameinfo(address, sizeof where, NULL, 0, NULL, 0, 0));
    label("names/flags");
    resolved("", getnameinfo(address, sizeof where, host, sizeof host, NULL, 0, 0x70000000));
    label("names/name_required");
    where.sin_addr.s_addr = htonl(0xc0000201u);  // 192.0.2.1, for documentation only
    const int result = getnameinfo(address, sizeof where, host, sizeof host, NULL, 0, NI_NAMEREQD);
    resolved("", result);
}

static void host(const struct hostent* found, int error) {
    char text[INET6_ADDRSTRLEN] = "";
    if (found) inet_ntop(found->h_addrtype, found->h_addr_list[0], text, sizeof text);
    probe_line(found ? 0 : error, 0, text, (long)strlen(text), found ? found->h_length : -1, -1);
}

// The call first, then h_errno.
#define HOST(call)                            \
    do {                                      \
        const struct hostent* answer = (call); \
        host(answer, h_errno);                \
    } while (0)

PROBE(hosts) {
    label("hosts/gethostbyname");
    HOST(gethostbyname("localhost"));
    HOST(gethostbyname("127.0.0.9"));
    HOST(gethostbyname("no-such-host.invalid"));
    label("hosts/gethostbyname2");
    HOST(gethostbyname2("localhost", AF_INET));
    HOST(gethostbyname2("::1", AF_INET6));
    label("hosts/gethostbyaddr");
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    const struct hostent* found = gethostbyaddr(&loopback, sizeof loopback, AF_INET);
    host(found, h_errno);
    resolved(found ? found->h_name : "-", 0);
    HOST(gethostbyaddr(&loopback, 2, AF_INET));
}

PROBE(hosts_reentrant) {
    struct hostent entry, *found = NULL;
    char space[2048];
    int error = -7;
    label("hosts_reentrant/gethostbyname_r");
    int result = gethostbyname_r("localhost", &entry, space, sizeof space, &found, &error);
    fact("result", result);
    fact("points_to_ours", found == &entry);
    host(found, error);
    result = gethostbyname_r("localhost", &entry, space, 8, &found, &error);
    fact("small", result == ERANGE);
    fact("small_found", found != NULL);
    result = gethostbyname_r("no-such-host.invalid", &entry, space, sizeof space, &found, &error);
    host(found, error);
    label("hosts_reentrant/gethostbyname2_r");
    result = gethostbyname2_r("localhost", AF_INET, &entry, space, sizeof space, &found, &error);
    fact("result", result);
    host(found, error);
    label("hosts_reentrant/gethostbyaddr_r");
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    result = gethostbyaddr_r(&loopback, sizeof loopback, AF_INET, &entry, space, sizeof space, &found, &error);
    fact("result", result);
    host(found, error);
}
