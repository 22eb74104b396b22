// SPDX-License-Identifier: Apache-2.0
// The same echo server written by hand for one kernel thread: epoll, non-blocking sockets. What the others are measured by.
//
//     echo_epoll     prints its port; ends on a signal
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// What a client has not taken yet; none in the usual case.
struct connection {
    int fd;
    size_t pending;
    char buffer[2048];
};

static int set;

static void die(const char* what) {
    perror(what);
    exit(1);
}

static void watch(struct connection* c, int operation, unsigned events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(set, operation, c->fd, &e) != 0) die("epoll_ctl");
}

static void drop(struct connection* c) {
    close(c->fd);
    free(c);
}

/// Writes `size` bytes of the buffer; keeps what the socket does not take. 0: the connection is gone.
static int answer(struct connection* c, size_t size) {
    const ssize_t n = write(c->fd, c->buffer, size);
    if (n < 0 && errno != EAGAIN) return 0;
    const size_t written = n < 0 ? 0 : (size_t)n;
    const size_t was_pending = c->pending;
    c->pending = size - written;
    if (c->pending > 0) memmove(c->buffer, c->buffer + written, c->pending);
    if ((was_pending > 0) != (c->pending > 0)) watch(c, EPOLL_CTL_MOD, c->pending > 0 ? EPOLLOUT : EPOLLIN);
    return 1;
}

static void serve(struct connection* c) {
    if (c->pending > 0) {
        if (!answer(c, c->pending)) drop(c);
        return;
    }
    const ssize_t n = read(c->fd, c->buffer, sizeof c->buffer);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 || !answer(c, (size_t)n)) drop(c);
}

static void accept_all(int listener) {
    const int one = 1;
    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EAGAIN) return;
            if (errno == EINTR || errno == ECONNABORTED) continue;
            die("accept");
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection* c = calloc(1, sizeof *c);
        if (c == NULL) die("calloc");
        c->fd = fd;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

int main(void) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    if (listener < 0 || bind(listener, (struct sockaddr*)&address, size) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr*)&address, &size) != 0)
        die("listen");
    set = epoll_create1(EPOLL_CLOEXEC);
    struct connection entrance = {.fd = listener};
    watch(&entrance, EPOLL_CTL_ADD, EPOLLIN);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    static struct epoll_event events[256];
    for (;;) {
        const int n = epoll_wait(set, events, sizeof events / sizeof *events, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; ++i) {
            struct connection* c = events[i].data.ptr;
            if (c == &entrance) accept_all(listener);
            else serve(c);
        }
    }
}
