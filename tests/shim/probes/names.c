// SPDX-License-Identifier: Apache-2.0
// Users, groups, services: what is found, what is not, buffers that are too small; lists read to their end; the log on stderr.
#include "probe.h"

#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <shadow.h>
#include <syslog.h>

static void text_of(const char* text) { done_code(text ? (long)strlen(text) : -1, text); }

PROBE(users) {
    char buffer[1024];
    struct passwd entry, *found = NULL;
    label("getpwnam.ready");
    begin();
    const struct passwd* p = getpwnam("root");
    done(p ? (long)p->pw_uid : -1, NULL, -1);
    text_of(p ? p->pw_dir : NULL);
    begin();
    done(getpwnam("no such user") != NULL, NULL, -1);
    label("getpwuid.ready");
    begin();
    p = getpwuid(1);
    done(p ? (long)p->pw_gid : -1, NULL, -1);
    text_of(p ? p->pw_name : NULL);
    begin();
    done(getpwuid(123456) != NULL, NULL, -1);
    label("getpwnam_r.ready");
    begin();
    done(getpwnam_r("root", &entry, buffer, sizeof buffer, &found), NULL, found == &entry);
    begin();
    done(getpwnam_r("root", &entry, buffer, 2, &found), NULL, found == &entry);
    begin();
    done(getpwnam_r("no such user", &entry, buffer, sizeof buffer, &found), NULL, found == &entry);
    label("getpwuid_r.ready");
    begin();
    done(getpwuid_r(0, &entry, buffer, sizeof buffer, &found), NULL, found == &entry);
    label("getpwent.ready");
    long n = 0;
    setpwent();
    begin();
    while (getpwent()) ++n;
    done(n, NULL, -1);
    setpwent();
    text_of(getpwent()->pw_name);
    begin();
    done(getpwent_r(&entry, buffer, sizeof buffer, &found), NULL, found == &entry);
    text_of(entry.pw_name);
    endpwent();
}

PROBE(groups) {
    char buffer[1024];
    struct group entry, *found = NULL;
    gid_t groups[32];
    int count = 32;
    label("getgrnam.ready");
    begin();
    const struct group* g = getgrnam("root");
    done(g ? (long)g->gr_gid : -1, NULL, -1);
    begin();
    g = getgrgid(1);
    text_of(g ? g->gr_name : NULL);
    begin();
    done(getgrgid_r(0, &entry, buffer, sizeof buffer, &found), NULL, found == &entry);
    begin();
    done(getgrnam_r("no such group", &entry, buffer, sizeof buffer, &found), NULL, found == &entry);
    long n = 0;
    setgrent();
    while (getgrent()) ++n;
    endgrent();
    fact("count", n);
    label("getgrouplist.ready");
    begin();
    done(getgrouplist("root", 0, groups, &count), NULL, count);
    count = 0;
    begin();
    done(getgrouplist("root", 0, groups, &count), NULL, count);
    label("getspnam.ready");
    begin();
    done(getspnam("root") != NULL, NULL, -1);
    begin();
    done(getspnam("no such user") != NULL, NULL, -1);
}

PROBE(services) {
    struct servent entry, *found = NULL;
    struct protoent* protocol;
    char buffer[1024];
    label("getservbyname.ready");
    begin();
    const struct servent* s = getservbyname("http", "tcp");
    done(s ? ntohs((uint16_t)s->s_port) : -1, NULL, -1);
    begin();
    s = getservbyport(htons(25), NULL);
    text_of(s ? s->s_name : NULL);
    begin();
    done(getservbyname("no such service", NULL) != NULL, NULL, -1);
    begin();
    done(getservbyname_r("http", "tcp", &entry, buffer, sizeof buffer, &found), NULL, found == &entry);
    begin();
    done(getservbyname_r("http", "tcp", &entry, buffer, 1, &found), NULL, found == &entry);
    label("getprotobyname.ready");
    begin();
    protocol = getprotobyname("tcp");
    done(protocol ? protocol->p_proto : -1, NULL, -1);
    begin();
    protocol = getprotobynumber(17);
    text_of(protocol ? protocol->p_name : NULL);
    label("getnetbyname.ready");
    begin();
    const struct netent* net = getnetbyname("loopback");
    done_code(net ? (long)net->n_net : -1, NULL);
}

PROBE(forked) {
    label("getpwnam.fork");
    if (probe_fork()) _exit(getpwnam("root") && getgrnam("root") ? 7 : 8);
    int status = 0;
    raw(SYS_wait4, -1, &status, 0, NULL);
    begin();
    done(WEXITSTATUS(status), NULL, -1);
}

PROBE(log_on_stderr) {
    int p[2];
    must(pipe(p), "pipe");
    const int saved = dup(2);
    dup2(p[1], 2);
    label("syslog.ready");
    openlog("name", LOG_PERROR, LOG_USER);
    errno = ENOENT;
    const char* format = "%s %d %m";
    __asm__("" : "+r"(format));
    syslog(LOG_INFO, format, "text", 5);
    begin();
    char got[64] = "";
    const long n = raw(SYS_read, p[0], got, 63);
    done(n, got, -1);
    setlogmask(LOG_UPTO(LOG_ERR));
    syslog(LOG_INFO, "not to be seen");
    closelog();
    struct pollfd readable = {p[0], POLLIN, 0};
    fact("masked", raw(SYS_poll, &readable, 1, 0));
    setlogmask(LOG_UPTO(LOG_DEBUG));
    dup2(saved, 2);
    close(saved);
    close_pair(p);
}
