// SPDX-License-Identifier: Apache-2.0
// Questions to a name server: a child that answers as it is told, on a port of this machine.
#include "probe.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

// The names by which binaries made for older libcs know them: libc exports them for those only.
#define OLD(name) __asm__(".symver old" #name "," #name "@GLIBC_2.2.5")
OLD(__res_query);
OLD(__res_search);
OLD(__res_querydomain);
OLD(__res_send);
OLD(__res_nquery);
OLD(__res_nsearch);
OLD(__res_nquerydomain);
OLD(__res_nsend);
extern int old__res_query(const char*, int, int, unsigned char*, int);
extern int old__res_search(const char*, int, int, unsigned char*, int);
extern int old__res_querydomain(const char*, const char*, int, int, unsigned char*, int);
extern int old__res_send(const unsigned char*, int, unsigned char*, int);
extern int old__res_nquery(res_state, const char*, int, int, unsigned char*, int);
extern int old__res_nsearch(res_state, const char*, int, int, unsigned char*, int);
extern int old__res_nquerydomain(res_state, const char*, const char*, int, int, unsigned char*, int);
extern int old__res_nsend(res_state, const unsigned char*, int, unsigned char*, int);

static struct sockaddr_in server;
static unsigned char answer[512];

/// Answers questions for `ms` late until it is ended: an address for every name but those that begin with n (no such name), e (it
/// exists, without an address) and s (silence). `socket_fd` is bound.
static void serve_names(int socket_fd, long ms) {
    unsigned char packet[512];
    struct sockaddr_in from;
    for (;;) {
        socklen_t size = sizeof from;
        long n = raw(SYS_recvfrom, socket_fd, packet, sizeof packet - 16, 0, &from, &size);
        if (n < 12 || packet[13] == 's') continue;
        delay(ms);
        const int none = packet[13] == 'n', empty = packet[13] == 'e';
        unsigned char* end = packet + 12;
        while (*end) end += *end + 1;
        end += 5;
        packet[2] |= 0x84;
        packet[3] = none ? 3 : 0x80;
        packet[10] = packet[11] = 0; // no additional records
        packet[7] = !none && !empty && end[-3] == 1;
        if (packet[7]) {
            static const unsigned char record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
            memcpy(end, record, 16);
            end += 16;
        }
        raw(SYS_sendto, socket_fd, packet, end - packet, 0, &from, size);
    }
}

static pid_t helper;
static void begin_server(long ms) {
    const int fd = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    socklen_t size = sizeof server;
    memset(&server, 0, sizeof server);
    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(fd, (struct sockaddr*)&server, size), "bind");
    must(getsockname(fd, (struct sockaddr*)&server, &size), "getsockname");
    fflush(stdout);
    helper = fork();
    if (helper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve_names(fd, ms);
    }
    close(fd);
}
static void end_server(void) {
    raw(SYS_kill, helper, SIGKILL);
    reap();
}

/// Ask our server only.
static void point(struct __res_state* s) {
    s->nsaddr_list[0] = server;
    s->nscount = 1;
    s->retrans = 1;
    s->retry = 1;
    s->options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
}

static long address_in(long n) { return n > 4 ? answer[n - 1] : 0; }

static void line(long n) {
    const int error = errno, h = h_errno;
    done_code(n, NULL);
    fact("h_errno", n < 0 ? h : 0);
    fact("errno", n < 0 ? error : 0);
    fact("last_byte", address_in(n));
}

PROBE(by_state) {
    begin_server(60);
    struct __res_state s;
    memset(&s, 0, sizeof s);
    must(res_ninit(&s), "res_ninit");
    point(&s);
    label("res_nquery.blocks");
    begin();
    line(res_nquery(&s, "a.example", C_IN, T_A, answer, sizeof answer));
    fact("state_h_errno", s.res_h_errno);
    label("res_nquery.eof/no_such_name");
    begin();
    line(res_nquery(&s, "n.example", C_IN, T_A, answer, sizeof answer));
    fact("state_h_errno", s.res_h_errno);
    fact("code", answer[3] & 15);
    label("res_nquery.eof/no_address");
    begin();
    line(res_nquery(&s, "e.example", C_IN, T_A, answer, sizeof answer));
    label("res_nquery.timeout");
    begin();
    line(res_nquery(&s, "s.example", C_IN, T_A, answer, sizeof answer));
    label("res_nquery.flags/short");
    begin();
    line(res_nquery(&s, "a.example", C_IN, T_A, answer, 12));
    label("res_nsearch.blocks");
    begin();
    line(res_nsearch(&s, "a.example", C_IN, T_A, answer, sizeof answer));
    label("res_nquerydomain.blocks");
    begin();
    line(res_nquerydomain(&s, "a", "example", C_IN, T_A, answer, sizeof answer));
    label("res_nquerydomain.blocks/no_domain");
    begin();
    line(res_nquerydomain(&s, "a.example.", NULL, C_IN, T_A, answer, sizeof answer));
    unsigned char message[512];
    const int length = res_nmkquery(&s, ns_o_query, "a.example", C_IN, T_A, NULL, 0, NULL, message, sizeof message);
    label("res_nsend.blocks");
    begin();
    line(res_nsend(&s, message, length, answer, sizeof answer));
    fact("same_id", answer[0] == message[0] && answer[1] == message[1]);
    label("__res_nquery.blocks");
    begin();
    line(old__res_nquery(&s, "a.example", C_IN, T_A, answer, sizeof answer));
    label("__res_nsearch.blocks");
    begin();
    line(old__res_nsearch(&s, "a.example", C_IN, T_A, answer, sizeof answer));
    label("__res_nquerydomain.blocks");
    begin();
    line(old__res_nquerydomain(&s, "a", "example", C_IN, T_A, answer, sizeof answer));
    label("__res_nsend.blocks");
    begin();
    line(old__res_nsend(&s, message, length, answer, sizeof answer));
    res_nclose(&s);
    end_server();
}

PROBE(by_thread) {
    begin_server(60);
    res_init();
    struct __res_state before = _res;
    point(&_res);
    label("res_query.blocks");
    begin();
    line(res_query("a.example", C_IN, T_A, answer, sizeof answer));
    label("res_query.eof/no_such_name");
    begin();
    line(res_query("n.example", C_IN, T_A, answer, sizeof answer));
    fact("state_h_errno", _res.res_h_errno);
    label("res_query.timeout");
    begin();
    line(res_query("s.example", C_IN, T_A, answer, sizeof answer));
    label("res_search.blocks");
    begin();
    line(res_search("a.example", C_IN, T_A, answer, sizeof answer));
    label("res_search.eof/no_such_name");
    begin();
    line(res_search("n.example", C_IN, T_A, answer, sizeof answer));
    label("res_querydomain.blocks");
    begin();
    line(res_querydomain("a", "example", C_IN, T_A, answer, sizeof answer));
    unsigned char message[512];
    const int length = res_mkquery(ns_o_query, "a.example", C_IN, T_A, NULL, 0, NULL, message, sizeof message);
    label("res_send.blocks");
    begin();
    line(res_send(message, length, answer, sizeof answer));
    label("__res_query.blocks");
    begin();
    line(old__res_query("a.example", C_IN, T_A, answer, sizeof answer));
    label("__res_search.blocks");
    begin();
    line(old__res_search("a.example", C_IN, T_A, answer, sizeof answer));
    label("__res_querydomain.blocks");
    begin();
    line(old__res_querydomain("a", "example", C_IN, T_A, answer, sizeof answer));
    label("__res_send.blocks");
    begin();
    line(old__res_send(message, length, answer, sizeof answer));
    // The names of the host family go by the same state.
    struct addrinfo hints, *found = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    label("getaddrinfo.blocks/own_server");
    begin();
    done_code(getaddrinfo("a.example", NULL, &hints, &found), NULL);
    fact("last_byte", found ? ((unsigned char*)&((struct sockaddr_in*)found->ai_addr)->sin_addr)[3] : 0);
    if (found) freeaddrinfo(found);
    label("gethostbyname.blocks/own_server");
    begin();
    const struct hostent* host = gethostbyname("a.example");
    done_code(host ? (unsigned char)host->h_addr_list[0][3] : -1, NULL);
    label("gethostbyname.eof/own_server");
    begin();
    host = gethostbyname("n.example");
    done_code(host ? 1 : h_errno, NULL);
    label("res_query.eintr"); // it waits on
    handle(SIGUSR1, 0);
    const pid_t parent = getpid();
    fflush(stdout);
    const pid_t poker = fork();
    if (poker == 0) {
        delay(20);
        raw(SYS_kill, parent, SIGUSR1);
        _exit(0);
    }
    begin();
    line(res_query("a.example", C_IN, T_A, answer, sizeof answer));
    fact("caught", caught);
    _res.nsaddr_list[0] = before.nsaddr_list[0];
    _res.nscount = before.nscount;
    _res.options = before.options;
    _res.retrans = before.retrans;
    _res.retry = before.retry;
    end_server();
}

PROBE(asynchronous) {
    struct gaicb one = {.ar_name = "localhost"}, two = {.ar_name = "127.0.0.1"};
    struct gaicb* list[] = {&one, NULL, &two};
    label("getaddrinfo_a.ready");
    begin();
    done_code(getaddrinfo_a(GAI_WAIT, list, 3, NULL), NULL);
    fact("one", gai_error(&one));
    fact("two", gai_error(&two));
    freeaddrinfo(one.ar_result);
    freeaddrinfo(two.ar_result);
    label("getaddrinfo_a.badfd");
    begin();
    done_code(getaddrinfo_a(77, list, 3, NULL), NULL);
    one.ar_result = two.ar_result = NULL;
    label("gai_suspend.ready");
    fact("begun", getaddrinfo_a(GAI_NOWAIT, list, 3, NULL));
    const struct gaicb* waiting[] = {&one, NULL, &two};
    begin();
    // One by one: of several, glibc's leaves its stack in the list of one that ends just when another has woken it.
    for (int i = 0; i < 3; i += 2)
        while (gai_error(list[i]) == EAI_INPROGRESS) gai_suspend(&waiting[i], 1, NULL);
    done_code(gai_error(&one), NULL);
    label("gai_suspend.eof/all_done");
    begin();
    done_code(gai_suspend(waiting, 3, NULL), NULL);
    freeaddrinfo(one.ar_result);
    freeaddrinfo(two.ar_result);
}

PROBE(all_hosts) {
    char buffer[4096];
    struct hostent entry, *found;
    int error = 0;
    sethostent(1);
    label("gethostent.ready");
    begin();
    const struct hostent* first = gethostent();
    done_code(first != NULL, first ? first->h_name : NULL);
    label("gethostent_r.ready");
    begin();
    const int result = gethostent_r(&entry, buffer, sizeof buffer, &found, &error);
    done_code(result, found ? found->h_name : NULL);
    long rest = 0;
    while (gethostent()) ++rest;
    fact("rest", rest);
    endhostent();
}
