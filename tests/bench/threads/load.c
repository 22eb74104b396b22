// SPDX-License-Identifier: Apache-2.0
// Load for a server on this machine: N connections, each with one request on its way, each answer checked. Whoever has been answered once rests until
// all have: a server that has to accept among thousands of busy threads may take minutes over it. Then all go on, and after a while it counts, and says
// what the server's process spent meanwhile.
//
//     load --port P [--pid SERVER] [--connections N] [--seconds S] [--warm S] [--timeout S] [--http PATH --body FILE]
//
// Prints one line: name value pairs. A connection whose answer is wrong, that ends, or that is refused is an error; one that does not answer in
// time is a time-out; both are opened again (after a while, if refused).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { per_address = 5000, most_sizes = 65, smallest = 64, buffer_size = 65536 };

struct connection {
    int fd;
    int connected;
    int warm; // has been answered once
    int rests;
    unsigned number, rounds;
    size_t sent, size;       // of the request
    size_t received, wanted; // of the answer; wanted is 0 until an HTTP head has come
    double since;            // the present request, or the attempt to connect
    struct connection *earlier, *later; // by `since`: who has waited longest comes first
    char head[512];          // an HTTP answer's beginning
};

static const char *http, *body;
static size_t body_size;
static int port, set;
static double timeout = 5, now;
static struct connection *longest, *shortest; // the ends of that list
static unsigned alive, warm;
static int all_go_on, counting;
static unsigned long answers, errors, timeouts;
static char reused[buffer_size], request[256];

// Latency in steps of 2 %.
enum { steps = 1200 };
static unsigned long histogram[steps];

static void die(const char* what) {
    perror(what);
    exit(1);
}

static double clock_of(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) die("clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double upper_bound_us(int step) {
    double us = 1;
    for (int i = 0; i < step; ++i) us *= 1.02;
    return us;
}

static void note_latency(double seconds) {
    static double bounds[steps];
    if (bounds[0] == 0)
        for (int i = 0; i < steps; ++i) bounds[i] = upper_bound_us(i);
    int low = 0, high = steps - 1;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (bounds[middle] < seconds * 1e6) low = middle + 1;
        else high = middle;
    }
    ++histogram[low];
}

static double percentile(double share) {
    unsigned long total = 0, sum = 0;
    for (int i = 0; i < steps; ++i) total += histogram[i];
    for (int i = 0; i < steps; ++i)
        if ((double)(sum += histogram[i]) >= share * (double)total) return upper_bound_us(i);
    return 0;
}

static void unlink_waiting(struct connection* c) {
    if (c->rests) {
        c->rests = 0;
        return;
    }
    *(c->earlier != NULL ? &c->earlier->later : &longest) = c->later;
    *(c->later != NULL ? &c->later->earlier : &shortest) = c->earlier;
}

static void link_waiting(struct connection* c) {
    c->since = now;
    c->later = NULL;
    c->earlier = shortest;
    *(shortest != NULL ? &shortest->later : &longest) = c;
    shortest = c;
}

static void send_request(struct connection* c) {
    const char* data = request;
    if (http == NULL) {
        // Every message has a length and bytes of its own, so that an answer meant for another is noticed.
        c->size = smallest + (c->number * 7 + c->rounds) % most_sizes;
        memset(request, (int)('!' + (c->number + c->rounds) % 90), c->size);
        memcpy(request, &c->number, sizeof c->number);
        c->wanted = c->size;
    } else {
        c->size = strlen(request);
        c->wanted = 0;
    }
    c->received = 0;
    c->sent = 0;
    const ssize_t n = send(c->fd, data, c->size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) c->sent = (size_t)n;
    ++c->rounds;
}

static void open_connection(struct connection* c) {
    const int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // A few thousand ports for each address, lest they run out.
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->number / per_address);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLONESHOT, .data.ptr = c};
    c->connected = 0;
    if (connect(c->fd, (struct sockaddr*)&to, sizeof to) != 0 && errno != EINPROGRESS) die("connect");
    if (epoll_ctl(set, EPOLL_CTL_ADD, c->fd, &e) != 0) die("epoll_ctl");
    link_waiting(c);
}

static void open_again(struct connection* c, unsigned long* what) {
    if (counting || what == &errors) ++*what;
    unlink_waiting(c);
    if (c->connected) --alive;
    close(c->fd);
    open_connection(c);
}

static int check_http(struct connection* c, const char* data, size_t size) {
    // The head may come in pieces; it is kept until it is whole.
    if (c->wanted == 0) {
        const size_t had = c->received;
        const size_t room = sizeof c->head - 1 - had;
        memcpy(c->head + had, data, size < room ? size : room);
        c->received += size;
        c->head[c->received < sizeof c->head ? c->received : sizeof c->head - 1] = 0;
        const char* end = strstr(c->head, "\r\n\r\n");
        if (end == NULL) return c->received < sizeof c->head ? 0 : -1;
        const size_t head_size = (size_t)(end - c->head) + 4;
        const char* length = strcasestr(c->head, "\r\nContent-Length:");
        if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || length == NULL || strtoul(length + 17, NULL, 10) != body_size) return -1;
        c->wanted = head_size + body_size;
        const size_t skip = head_size - had; // of what has just come
        if (size - skip > body_size || memcmp(data + skip, body, size - skip) != 0) return -1;
    } else {
        const size_t at = c->received + body_size - c->wanted;
        if (at + size > body_size || memcmp(data, body + at, size) != 0) return -1;
        c->received += size;
    }
    return c->received == c->wanted;
}

/// 1: the answer is whole; 0: more is to come; -1: it is wrong.
static int check(struct connection* c, const char* data, size_t size) {
    if (http != NULL) return check_http(c, data, size);
    if (c->received + size > c->wanted) return -1;
    const char expected = (char)('!' + (c->number + c->rounds - 1) % 90);
    for (size_t i = 0; i < size; ++i) {
        const size_t at = c->received + i;
        if (data[i] != (at < sizeof c->number ? ((const char*)&c->number)[at] : expected)) return -1;
    }
    c->received += size;
    return c->received == c->wanted;
}

static void on_event(struct connection* c, unsigned events) {
    if (!c->connected) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0 || (events & EPOLLERR) != 0) {
            open_again(c, &errors);
            return;
        }
        c->connected = 1;
        ++alive;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(set, EPOLL_CTL_MOD, c->fd, &e) != 0) die("epoll_ctl");
    } else {
        const ssize_t n = recv(c->fd, reused, sizeof reused, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        const int whole = n <= 0 ? -1 : check(c, reused, (size_t)n);
        if (whole < 0) {
            open_again(c, &errors);
            return;
        }
        if (whole == 0) return;
        if (counting) {
            ++answers;
            note_latency(now - c->since);
        }
        if (!c->warm) {
            c->warm = 1;
            ++warm;
        }
        unlink_waiting(c);
        if (!all_go_on) {
            c->rests = 1;
            return;
        }
        link_waiting(c);
        send_request(c);
        return;
    }
    unlink_waiting(c);
    link_waiting(c);
    send_request(c);
}

static void run_until(double end, unsigned until_warm) {
    static struct epoll_event events[256];
    while (warm < until_warm || until_warm == 0) {
        const int n = epoll_wait(set, events, sizeof events / sizeof *events, 10);
        now = clock_of(CLOCK_MONOTONIC);
        for (int i = 0; i < n; ++i) on_event(events[i].data.ptr, events[i].events);
        while (longest != NULL && now - longest->since > timeout) open_again(longest, &timeouts);
        if (now >= end) return;
    }
}

static const char* read_file(const char* path, size_t* size) {
    FILE* f = fopen(path, "rb");
    char* data = malloc(buffer_size * 16);
    if (f == NULL || data == NULL) die(path);
    *size = fread(data, 1, buffer_size * 16, f);
    fclose(f);
    return data;
}

int main(int argc, char** argv) {
    static const struct option options[] = {{"port", 1, 0, 'p'},   {"pid", 1, 0, 'i'},     {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"warm", 1, 0, 'w'},
                                            {"timeout", 1, 0, 't'}, {"http", 1, 0, 'h'}, {"body", 1, 0, 'b'},        {NULL, 0, 0, 0}};
    unsigned count = 50;
    double seconds = 1, warming = 0.2;
    int pid = 0;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'i': pid = atoi(optarg); break;
        case 'c': count = (unsigned)atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'w': warming = atof(optarg); break;
        case 't': timeout = atof(optarg); break;
        case 'h': http = optarg; break;
        case 'b': body = read_file(optarg, &body_size); break;
        default: return 2;
        }
    }
    if (http != NULL) snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", http);
    struct rlimit files = {count + 64, count + 64};
    struct rlimit had;
    getrlimit(RLIMIT_NOFILE, &had);
    if (had.rlim_cur < files.rlim_cur && files.rlim_max < had.rlim_max) files.rlim_max = had.rlim_max;
    if (had.rlim_cur < files.rlim_cur && setrlimit(RLIMIT_NOFILE, &files) != 0) die("RLIMIT_NOFILE");
    set = epoll_create1(EPOLL_CLOEXEC);
    struct connection* all = calloc(count, sizeof *all);
    if (set < 0 || all == NULL) die("start");
    now = clock_of(CLOCK_MONOTONIC);
    const double began = now;
    enum { at_once = 500 }; // no more are being opened than a listener's queue holds
    for (unsigned i = 0; i < count; ++i) {
        all[i].number = i;
        open_connection(&all[i]);
        if (i % at_once == at_once - 1) run_until(now + 20, i + 1);
    }
    run_until(began + 60, count);
    const unsigned long early_errors = errors;
    if (warm < count) errors += count - warm;
    const double opened = now - began;
    all_go_on = 1;
    for (unsigned i = 0; i < count; ++i) {
        if (!all[i].rests) continue;
        unlink_waiting(&all[i]);
        link_waiting(&all[i]);
        send_request(&all[i]);
    }
    run_until(now + warming, 0);
    clockid_t server = CLOCK_PROCESS_CPUTIME_ID;
    if (pid != 0 && clock_getcpuclockid(pid, &server) != 0) die("the server's clock");
    counting = 1;
    const double cpu = clock_of(server);
    const double own = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    const double start = now;
    run_until(start + seconds, 0);
    const double spent = clock_of(server) - cpu;
    const double length = now - start;
    printf("connections %u open_seconds %.3f early_errors %lu answers %lu rate %.0f errors %lu timeouts %lu server_us %.3f load_us %.3f p50_us %.0f p99_us %.0f "
           "busy %.3f\n",
           count, opened, early_errors, answers, (double)answers / length, errors, timeouts, answers == 0 ? 0 : spent / (double)answers * 1e6,
           answers == 0 ? 0 : (clock_of(CLOCK_PROCESS_CPUTIME_ID) - own) / (double)answers * 1e6, percentile(0.50), percentile(0.99), spent / length);
    return 0;
}
