// SPDX-License-Identifier: Apache-2.0
// A thread that is cancelled or leaves by pthread_exit: destructors run, catch (...) sees it and must pass it on, thread_local objects go last
// and may wait.
#include "cases.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <cxxabi.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

std::string order;
sem_t ready;

struct noted {
    explicit noted(const char* t) : text(t) {}
    ~noted() { order += text; }
    const char* text;
};

struct waits_at_end {
    ~waits_at_end() {
        ::usleep(2000);
        order += "t";
    }
    void use() {}
};
thread_local waits_at_end last;

volatile bool returns; // no

void wait_deep(int depth) {
    if (returns) return;
    const noted here("d");
    if (depth > 0) wait_deep(depth - 1);
    else
        for (;;) ::usleep(60'000'000);
}

void* cancelled(void* argument) {
    last.use();
    const noted outer("o");
    try {
        const noted inner("i");
        ::sem_post(&ready);
        wait_deep(3);
    } catch (abi::__forced_unwind&) {
        order += "f";
        throw;
    } catch (...) {
        order += "?";
    }
    return argument;
}

void* leaves(void* argument) {
    last.use();
    const noted outer("o");
    try {
        throw 1;
    } catch (int) {
        const noted inner("i");
        ::pthread_exit(argument);
    }
}

void show(const char* what, void* result) {
    std::printf("%s: %s, %s\n", what, order.c_str(), result == PTHREAD_CANCELED ? "cancelled" : static_cast<const char*>(result));
    order.clear();
}

void* swallows(void*) {
    try {
        ::pthread_exit(nullptr);
    } catch (...) {
    }
    return nullptr;
}

void* escapes(void*) { throw std::string("nobody catches it"); }

void in_child(const char* what, void* (*start)(void*)) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(1, 2);
        pthread_t t;
        ::pthread_create(&t, nullptr, start, nullptr);
        ::pthread_join(t, nullptr);
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    std::printf("%s: %s\n", what, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "ended");
}

void unwinding() {
    for (int i = 0; i < 3; ++i) {
        pthread_t t;
        ::pthread_create(&t, nullptr, cancelled, nullptr);
        ::sem_wait(&ready);
        ::pthread_cancel(t);
        void* result = nullptr;
        ::pthread_join(t, &result);
        show("cancelled", result);
        static char text[] = "left";
        ::pthread_create(&t, nullptr, leaves, text);
        ::pthread_join(t, &result);
        show("pthread_exit", result);
    }
}

void caught_and_kept() { in_child("catch without throw", swallows); }
void caught_by_nobody() { in_child("an exception", escapes); }

} // namespace

int main(int argc, char** argv) {
    ::sem_init(&ready, 0, 0);
    static constexpr named_case cases[] = {{"unwinding", unwinding}, {"caught_and_kept", caught_and_kept}, {"caught_by_nobody", caught_by_nobody}};
    return run_case(argc, argv, cases);
}
