// SPDX-License-Identifier: Apache-2.0
// C11's threads.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static mtx_t lock;
static cnd_t changed;
static int turn;
static once_flag once = ONCE_FLAG_INIT;
static atomic_int made, freed;
static tss_t slot;
static _Thread_local int local = 5;

static struct timespec after_ms(long ms) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static const char* result(int code) {
    switch (code) {
    case thrd_success: return "success";
    case thrd_busy: return "busy";
    case thrd_timedout: return "timedout";
    case thrd_nomem: return "nomem";
    default: return "error";
    }
}

static int gives_back(void* argument) {
    local += *(int*)argument;
    thrd_yield();
    return local;
}

static void results_and_locals(void) {
    thrd_t threads[20];
    int numbers[20], sum = 0;
    for (int i = 0; i < 20; ++i) {
        numbers[i] = i;
        printf("%s ", result(thrd_create(&threads[i], gives_back, &numbers[i])));
    }
    for (int i = 0; i < 20; ++i) {
        int value = 0;
        thrd_join(threads[i], &value);
        sum += value;
    }
    printf("%d, main's local %d, itself %d\n", sum, local, thrd_equal(thrd_current(), thrd_current()));
}

static int exits(void* argument) {
    (void)argument;
    thrd_exit(-7);
}

static void thrd_exit_and_detach(void) {
    thrd_t t;
    int value;
    thrd_create(&t, exits, NULL);
    thrd_join(t, &value);
    thrd_create(&t, exits, NULL);
    printf("%d %s\n", value, result(thrd_detach(t)));
    struct timespec ms = {0, 3000000};
    printf("%d\n", thrd_sleep(&ms, NULL));
}

static int in_turn(void* argument) {
    const int own = *(int*)argument;
    for (int i = 0; i < 50; ++i) {
        mtx_lock(&lock);
        while (turn % 4 != own) cnd_wait(&changed, &lock);
        ++turn;
        cnd_broadcast(&changed);
        mtx_unlock(&lock);
    }
    return 0;
}

static void conditions_in_turn(void) {
    thrd_t threads[4];
    int numbers[4] = {0, 1, 2, 3};
    mtx_init(&lock, mtx_plain);
    cnd_init(&changed);
    for (int i = 0; i < 4; ++i) thrd_create(&threads[i], in_turn, &numbers[i]);
    for (int i = 0; i < 4; ++i) thrd_join(threads[i], NULL);
    struct timespec soon = after_ms(5);
    mtx_lock(&lock);
    printf("turn %d, alone: %s, no waiter: %s\n", turn, result(cnd_timedwait(&changed, &lock, &soon)), result(cnd_signal(&changed)));
    mtx_unlock(&lock);
    cnd_destroy(&changed);
    mtx_destroy(&lock);
}

static int tries(void* argument) {
    mtx_t* m = argument;
    struct timespec soon = after_ms(3);
    const int tried = mtx_trylock(m), timed = mtx_timedlock(m, &soon);
    printf("trylock %s timedlock %s\n", result(tried), result(timed));
    return 0;
}

static void mutexes(void) {
    static const int kinds[] = {mtx_timed, mtx_timed | mtx_recursive};
    for (size_t i = 0; i < COUNT(kinds); ++i) {
        mtx_t m;
        thrd_t t;
        printf("init %s ", result(mtx_init(&m, kinds[i])));
        mtx_lock(&m);
        if (kinds[i] & mtx_recursive) printf("again %s %s ", result(mtx_lock(&m)), result(mtx_unlock(&m)));
        thrd_create(&t, tries, &m);
        thrd_join(t, NULL);
        mtx_unlock(&m);
        printf("then %s\n", result(mtx_trylock(&m)));
        mtx_unlock(&m);
        mtx_destroy(&m);
    }
}

static void make(void) {
    struct timespec ms = {0, 3000000};
    thrd_sleep(&ms, NULL);
    ++made;
}

static int wants_it_made(void* argument) {
    (void)argument;
    call_once(&once, make);
    return made;
}

static void called_once(void) {
    thrd_t threads[10];
    int sum = 0, value;
    for (int i = 0; i < 10; ++i) thrd_create(&threads[i], wants_it_made, NULL);
    for (int i = 0; i < 10; ++i) {
        thrd_join(threads[i], &value);
        sum += value;
    }
    printf("made %d seen %d\n", made, sum);
}

static void give(void* value) {
    ++freed;
    free(value);
}

static int has_a_value(void* argument) {
    int* own = malloc(sizeof *own);
    *own = *(int*)argument;
    const int before = tss_get(slot) == NULL;
    tss_set(slot, own);
    thrd_yield();
    return before && *(int*)tss_get(slot) == *own;
}

static void specific_values(void) {
    thrd_t threads[10];
    int numbers[10], right = 0, value;
    printf("%s ", result(tss_create(&slot, give)));
    for (int i = 0; i < 10; ++i) {
        numbers[i] = i;
        thrd_create(&threads[i], has_a_value, &numbers[i]);
    }
    for (int i = 0; i < 10; ++i) {
        thrd_join(threads[i], &value);
        right += value;
    }
    printf("right %d freed %d main's %d\n", right, freed, tss_get(slot) == NULL);
    tss_delete(slot);
}

static const struct {
    const char* name;
    void (*run)(void);
} cases[] = {
    {"results_and_locals", results_and_locals}, {"thrd_exit_and_detach", thrd_exit_and_detach}, {"conditions_in_turn", conditions_in_turn},
    {"mutexes", mutexes},                       {"called_once", called_once},                   {"specific_values", specific_values},
};

int main(int argc, char** argv) {
    for (size_t i = 0; i < COUNT(cases); ++i)
        if (argc == 2 && strcmp(argv[1], "--list") == 0)
            puts(cases[i].name);
        else if (argc == 2 && strcmp(argv[1], cases[i].name) == 0)
            cases[i].run();
    return 0;
}
