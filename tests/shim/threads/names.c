// SPDX-License-Identifier: Apache-2.0
// pthread_setname_np and pthread_getname_np, of oneself and of others.
#include "conform.h"

#include <sys/prctl.h>

static sem_t go, named;

static bool is_named(pthread_t thread, const char* wanted) {
    char name[32] = "?";
    RETURNS(0, pthread_getname_np(thread, name, sizeof name));
    return strcmp(name, wanted) == 0;
}

static void* names_itself(void* argument) {
    char inherited[16];
    CHECK(prctl(PR_GET_NAME, inherited) == 0);
    CHECK(is_named(pthread_self(), inherited));
    RETURNS(0, pthread_setname_np(pthread_self(), argument));
    CHECK(is_named(pthread_self(), argument));
    char text[16];
    CHECK(prctl(PR_GET_NAME, text) == 0 && strcmp(text, argument) == 0);
    sem_post(&named);
    sem_wait(&go);
    return NULL;
}

CASE(each_its_own) {
    sem_init(&go, 0, 0);
    sem_init(&named, 0, 0);
    RETURNS(0, pthread_setname_np(pthread_self(), "the first"));
    const pthread_t a = start(names_itself, "thread a"), b = start(names_itself, "a name of 15 cs");
    sem_wait(&named);
    sem_wait(&named);
    CHECK(is_named(a, "thread a"));
    CHECK(is_named(b, "a name of 15 cs"));
    CHECK(is_named(pthread_self(), "the first"));
    RETURNS(0, pthread_setname_np(a, "by another"));
    CHECK(is_named(a, "by another"));
    sem_post(&go);
    sem_post(&go);
    finish(a);
    finish(b);
}

static void* inherits(void* wanted) {
    CHECK(is_named(pthread_self(), wanted));
    return NULL;
}

CASE(inherited) {
    RETURNS(0, pthread_setname_np(pthread_self(), "parent"));
    finish(start(inherits, "parent"));
    CHECK(prctl(PR_SET_NAME, "by prctl") == 0);
    CHECK(is_named(pthread_self(), "by prctl"));
    finish(start(inherits, "by prctl"));
}

CASE(refused) {
    char name[16];
    RETURNS(ERANGE, pthread_setname_np(pthread_self(), "one that has 16c"));
    RETURNS(ERANGE, pthread_getname_np(pthread_self(), name, 15));
    RETURNS(0, pthread_getname_np(pthread_self(), name, 16));
    RETURNS(0, pthread_setname_np(pthread_self(), ""));
    CHECK(is_named(pthread_self(), ""));
}

static void* cut(void* argument) {
    CHECK(prctl(PR_SET_NAME, "prctl cuts it where it ends") == 0);
    CHECK(is_named(pthread_self(), "prctl cuts it w"));
    return argument;
}

CASE(prctl_cuts) { finish(start(cut, NULL)); }
