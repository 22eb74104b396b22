// SPDX-License-Identifier: Apache-2.0
// exec by one of several threads: the program has that thread's signal mask.
#include "conform.h"

extern char** environ;

PROCESS(shows_its_mask) {
    sigset_t mask;
    WORKS(sigprocmask(SIG_BLOCK, NULL, &mask));
    printf("USR1 %d USR2 %d\n", sigismember(&mask, SIGUSR1), sigismember(&mask, SIGUSR2));
}

static void block(int number) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &one, NULL));
}

static const char self[] = "/proc/self/exe";

static void* execs(void* how) {
    char* arguments[] = {(char*)conform_program, (char*)"shows_its_mask", NULL};
    block(SIGUSR2);
    FAILS(ENOENT, execv("/nonexistent", arguments));
    FAILS(ENOENT, execl("/nonexistent", "a", "b", (char*)NULL));
    fflush(stdout);
    switch ((intptr_t)how) {
    case 0: execve(self, arguments, environ); break;
    case 1: execv(self, arguments); break;
    case 2: execvp(self, arguments); break;
    case 3: execl(self, arguments[0], arguments[1], (char*)NULL); break;
    case 4: execlp(self, arguments[0], arguments[1], (char*)NULL); break;
    case 5: execle(self, arguments[0], arguments[1], (char*)NULL, environ); break;
    case 6: fexecve(open(self, O_RDONLY | O_CLOEXEC), arguments, environ); break;
    default: execvpe(self, arguments, environ); break;
    }
    _exit(99);
}

CASE(the_callers_mask) {
    for (intptr_t how = 0; how < 8; ++how) {
        int status = -1;
        CHILD(status) {
            block(SIGUSR1);
            finish(start(execs, (void*)how)); // main does not block the other one
        }
        EQUAL(0, ending(status));
    }
}
