// SPDX-License-Identifier: Apache-2.0
// Pthread locks and semaphores, as their POSIX pages have them; also shared with another process.
#include "probe.h"

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <threads.h>

static void* shared_memory(size_t size) {
    void* p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) must(-1, "mmap");
    return p;
}

static struct timespec in_ms(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) ++t.tv_sec, t.tv_nsec -= 1000000000;
    return t;
}

static void make_mutex(pthread_mutex_t* m, int type, int shared, int robust, int protocol) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, type);
    pthread_mutexattr_setpshared(&a, shared);
    pthread_mutexattr_setrobust(&a, robust);
    pthread_mutexattr_setprotocol(&a, protocol);
    must(-pthread_mutex_init(m, &a), "pthread_mutex_init");
    pthread_mutexattr_destroy(&a);
}

// ---- mutexes -----------------------------------------------------------------------------------------------------------

static void mutex_results(const char* kind, pthread_mutex_t* m, int relocks) {
    const struct timespec bad = {0, 1000000000}, past = {1, 0}, negative = {-1, 0};
    struct timespec soon;
    label("mutex.ready/%s", kind);
    begin(), done_code(pthread_mutex_lock(m), NULL);
    if (relocks) {
        begin(), done_code(pthread_mutex_lock(m), NULL);
        begin(), done_code(pthread_mutex_timedlock(m, &past), NULL);
    }
    begin(), done_code(pthread_mutex_trylock(m), NULL);
    if (!strstr(kind, "robust")) begin(), done_code(pthread_mutex_destroy(m), NULL);
    label("mutex.unlock/%s", kind);
    for (int i = 0; i < (relocks ? 5 : 1); ++i) begin(), done_code(pthread_mutex_unlock(m), NULL);
    label("mutex.free/%s", kind);
    begin(), done_code(pthread_mutex_timedlock(m, &bad), NULL);
    pthread_mutex_unlock(m);
    begin(), done_code(pthread_mutex_timedlock(m, &past), NULL);
    pthread_mutex_unlock(m);
    begin(), done_code(pthread_mutex_clocklock(m, CLOCK_PROCESS_CPUTIME_ID, &past), NULL);
    label("mutex.timeout/%s", kind);
    if (!relocks) {
        pthread_mutex_lock(m);
        begin(), done_code(pthread_mutex_timedlock(m, &past), NULL);
        begin(), done_code(pthread_mutex_timedlock(m, &negative), NULL);
        begin(), done_code(pthread_mutex_timedlock(m, &bad), NULL);
        soon = in_ms(CLOCK_REALTIME, 80);
        begin(), done_code(pthread_mutex_timedlock(m, &soon), NULL);
        soon = in_ms(CLOCK_MONOTONIC, 80);
        begin(), done_code(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &soon), NULL);
        pthread_mutex_unlock(m);
    }
    begin(), done_code(pthread_mutex_destroy(m), NULL);
}

PROBE(mutexes) {
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    mutex_results("static", &m, 0);
    pthread_mutex_t r = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    mutex_results("static_recursive", &r, 1);
    pthread_mutex_t e = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    mutex_results("static_checking", &e, 1);
    pthread_mutex_t a = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
    mutex_results("static_adaptive", &a, 0);
    make_mutex(&m, PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_SHARED, 0, 0);
    mutex_results("shared", &m, 0);
    make_mutex(&m, PTHREAD_MUTEX_RECURSIVE, PTHREAD_PROCESS_SHARED, 0, 0);
    mutex_results("shared_recursive", &m, 1);
    make_mutex(&m, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PROCESS_SHARED, 0, 0);
    mutex_results("shared_checking", &m, 1);
    make_mutex(&m, PTHREAD_MUTEX_RECURSIVE, 0, PTHREAD_MUTEX_ROBUST, 0);
    mutex_results("robust_recursive", &m, 1);
    make_mutex(&m, PTHREAD_MUTEX_ERRORCHECK, 0, PTHREAD_MUTEX_ROBUST, 0);
    mutex_results("robust_checking", &m, 1);
    make_mutex(&m, PTHREAD_MUTEX_RECURSIVE, 0, 0, PTHREAD_PRIO_INHERIT);
    mutex_results("inheriting_recursive", &m, 1);
}

struct both {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_rwlock_t rwlock;
    pthread_barrier_t barrier;
    sem_t ready, sem;
    int value;
};

/// A bare process holds the mutex for a while.
static void held_elsewhere(const char* name, int type, int robust, int dies) {
    struct both* b = shared_memory(sizeof *b);
    make_mutex(&b->mutex, type, PTHREAD_PROCESS_SHARED, robust, 0);
    must(sem_init(&b->ready, 1, 0), "sem_init");
    PEER {
        pthread_mutex_lock(&b->mutex);
        sem_post(&b->ready);
        delay(80);
        if (!dies) pthread_mutex_unlock(&b->mutex);
    }
    while (sem_wait(&b->ready) != 0) {}
    label("mutex.shared/%s", name);
    begin(), done_code(pthread_mutex_trylock(&b->mutex), NULL);
    begin(), done_code(pthread_mutex_lock(&b->mutex), NULL);
    if (dies) begin(), done_code(pthread_mutex_consistent(&b->mutex), NULL);
    begin(), done_code(pthread_mutex_unlock(&b->mutex), NULL);
    begin(), done_code(pthread_mutex_lock(&b->mutex), NULL);
    begin(), done_code(pthread_mutex_unlock(&b->mutex), NULL);
    begin(), done_code(pthread_mutex_destroy(&b->mutex), NULL);
    munmap(b, sizeof *b);
}
PROBE(mutex_elsewhere) {
    held_elsewhere("normal", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, 0);
    held_elsewhere("recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, 0);
    held_elsewhere("robust", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, 0);
    held_elsewhere("robust_dies", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, 1);
}

static void* holds(void* mutex) {
    pthread_mutex_lock(mutex);
    delay(80);
    pthread_mutex_unlock(mutex);
    return NULL;
}
PROBE(mutex_of_a_thread) {
    for (int kind = 0; kind < 4; ++kind) {
        pthread_mutex_t m;
        make_mutex(&m, kind == 1 ? PTHREAD_MUTEX_ERRORCHECK : kind == 2 ? PTHREAD_MUTEX_ADAPTIVE_NP : PTHREAD_MUTEX_NORMAL, 0,
                   kind == 3 ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED, 0);
        pthread_t thread;
        pthread_create(&thread, NULL, holds, &m);
        delay(20);
        label("mutex.blocks/%d", kind);
        begin(), done_code(pthread_mutex_lock(&m), NULL);
        begin(), done_code(pthread_mutex_unlock(&m), NULL);
        pthread_join(thread, NULL);
        pthread_mutex_destroy(&m);
    }
}

// ---- conditions ----------------------------------------------------------------------------------------------------------

PROBE(conditions) {
    struct both* b = shared_memory(sizeof *b);
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    for (int kind = 0; kind < 4; ++kind) {
        make_mutex(&b->mutex, PTHREAD_MUTEX_ERRORCHECK, kind & 1, 0, 0);
        pthread_condattr_setpshared(&a, kind & 1);
        pthread_condattr_setclock(&a, kind & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME);
        must(-pthread_cond_init(&b->cond, &a), "pthread_cond_init");
        const clockid_t clock = kind & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
        const struct timespec bad = {0, 1000000000}, past = {1, 0};
        struct timespec soon;
        label("cond.error/%d", kind);
        begin(), done_code(pthread_cond_timedwait(&b->cond, &b->mutex, &past), NULL);
        pthread_mutex_lock(&b->mutex);
        begin(), done_code(pthread_cond_timedwait(&b->cond, &b->mutex, &bad), NULL);
        begin(), done_code(pthread_cond_clockwait(&b->cond, &b->mutex, CLOCK_PROCESS_CPUTIME_ID, &past), NULL);
        label("cond.timeout/%d", kind);
        begin(), done_code(pthread_cond_timedwait(&b->cond, &b->mutex, &past), NULL);
        soon = in_ms(clock, 80);
        begin(), done_code(pthread_cond_timedwait(&b->cond, &b->mutex, &soon), NULL);
        soon = in_ms(CLOCK_MONOTONIC, 80);
        begin(), done_code(pthread_cond_clockwait(&b->cond, &b->mutex, CLOCK_MONOTONIC, &soon), NULL);
        begin(), done_code(pthread_mutex_lock(&b->mutex), NULL);
        if (kind & 1) {
            b->value = 0;
            PEER {
                delay(80);
                pthread_mutex_lock(&b->mutex);
                b->value = 1;
                pthread_mutex_unlock(&b->mutex);
                pthread_cond_signal(&b->cond);
            }
            label("cond.blocks/%d", kind);
            begin();
            int result = 0;
            while (!b->value && !result) result = pthread_cond_wait(&b->cond, &b->mutex);
            done_code(result, NULL);
            reap();
        }
        label("cond.end/%d", kind);
        begin(), done_code(pthread_mutex_unlock(&b->mutex), NULL);
        begin(), done_code(pthread_cond_signal(&b->cond), NULL);
        begin(), done_code(pthread_cond_broadcast(&b->cond), NULL);
        begin(), done_code(pthread_cond_destroy(&b->cond), NULL);
        begin(), done_code(pthread_mutex_destroy(&b->mutex), NULL);
    }
    munmap(b, sizeof *b);
}

static pthread_mutex_t turn_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_cond = PTHREAD_COND_INITIALIZER;
static int turn, cleaned;

static void* signals_later(void* argument) {
    delay(80);
    pthread_mutex_lock(&turn_mutex);
    turn = 1;
    pthread_cond_signal(&turn_cond);
    pthread_mutex_unlock(&turn_mutex);
    return argument;
}
PROBE(condition_of_a_thread) {
    pthread_t thread;
    turn = 0;
    pthread_create(&thread, NULL, signals_later, NULL);
    label("cond.blocks/thread");
    pthread_mutex_lock(&turn_mutex);
    begin();
    int result = 0;
    while (!turn && !result) result = pthread_cond_wait(&turn_cond, &turn_mutex);
    done_code(result, NULL);
    pthread_mutex_unlock(&turn_mutex);
    pthread_join(thread, NULL);
}

static void clean(void* argument) {
    (void)argument;
    cleaned = 1 + pthread_mutex_unlock(&turn_mutex); // it has been taken back
}
static void* waits_for_ever(void* argument) {
    pthread_mutex_lock(&turn_mutex);
    turn = 2;
    pthread_cleanup_push(clean, NULL);
    for (;;) pthread_cond_wait(&turn_cond, &turn_mutex);
    pthread_cleanup_pop(1);
    return argument;
}
static void* waits_for_token(void* sem) {
    for (;;) sem_wait(sem);
    return NULL;
}
PROBE(cancelled) {
    pthread_t thread;
    void* end = NULL;
    turn = cleaned = 0;
    pthread_create(&thread, NULL, waits_for_ever, NULL);
    delay(40);
    label("cond.cancelled");
    begin();
    pthread_cancel(thread);
    done_code(pthread_join(thread, &end), NULL);
    fact("canceled", end == PTHREAD_CANCELED);
    fact("cleaned", cleaned);
    fact("free", pthread_mutex_trylock(&turn_mutex));
    pthread_mutex_unlock(&turn_mutex);
    sem_t s;
    sem_init(&s, 0, 0);
    pthread_create(&thread, NULL, waits_for_token, &s);
    delay(40);
    label("sem.cancelled");
    begin();
    pthread_cancel(thread);
    done_code(pthread_join(thread, &end), NULL);
    fact("canceled", end == PTHREAD_CANCELED);
}

// ---- semaphores ----------------------------------------------------------------------------------------------------------

PROBE(semaphores) {
    const struct timespec bad = {0, 1000000000}, past = {1, 0}, negative = {-1, 0};
    for (int shared = 0; shared < 2; ++shared) {
        struct both* b = shared_memory(sizeof *b);
        sem_t* s = &b->sem;
        must(sem_init(s, shared, 1), "sem_init");
        label("sem.ready/%d", shared);
        begin(), done(sem_wait(s), NULL, -1);
        begin(), done(sem_trywait(s), NULL, -1);
        label("sem.timeout/%d", shared);
        begin(), done(sem_timedwait(s, &past), NULL, -1);
        begin(), done(sem_timedwait(s, &negative), NULL, -1);
        begin(), done(sem_timedwait(s, &bad), NULL, -1);
        struct timespec soon = in_ms(CLOCK_REALTIME, 80);
        begin(), done(sem_timedwait(s, &soon), NULL, -1);
        soon = in_ms(CLOCK_MONOTONIC, 80);
        begin(), done(sem_clockwait(s, CLOCK_MONOTONIC, &soon), NULL, -1);
        begin(), done(sem_clockwait(s, CLOCK_PROCESS_CPUTIME_ID, &soon), NULL, -1);
        label("sem.free/%d", shared);
        begin(), done(sem_post(s), NULL, -1);
        begin(), done(sem_timedwait(s, &bad), NULL, -1);
        begin(), done(sem_timedwait(s, &past), NULL, -1);
        for (int flags = 0; flags < 2; ++flags) {
            handle(SIGUSR1, flags ? SA_RESTART : 0);
            PEER {
                delay(60);
                poke(SIGUSR1);
                delay(60);
                if (shared) sem_post(s);
                else poke(SIGUSR2);
            }
            handle(SIGUSR2, 0);
            label("sem.%s/%d", flags ? "restart" : "eintr", shared);
            begin(), done(sem_wait(s), NULL, -1);
            fact("caught", caught > 0);
            reap();
            while (sem_trywait(s) == 0) {}
            handle(SIGUSR1, flags ? SA_RESTART : 0);
            PEER { delay(60), poke(SIGUSR1); }
            soon = in_ms(CLOCK_REALTIME, 2000);
            label("sem.timed_%s/%d", flags ? "restart" : "eintr", shared);
            begin(), done(sem_timedwait(s, &soon), NULL, -1);
            reap();
        }
        signal(SIGUSR1, SIG_DFL);
        signal(SIGUSR2, SIG_DFL);
        if (shared) {
            PEER { delay(80), sem_post(s); }
            label("sem.blocks/%d", shared);
            begin(), done(sem_wait(s), NULL, -1);
        }
        label("sem.most/%d", shared);
        sem_init(s, shared, INT_MAX);
        begin(), done(sem_post(s), NULL, -1);
        begin(), done(sem_destroy(s), NULL, -1);
        munmap(b, sizeof *b);
    }
}

static sem_t handlers_sem;
static void posts(int number) {
    (void)number;
    sem_post(&handlers_sem);
}
PROBE(sem_of_a_handler) {
    struct sigaction action = {.sa_handler = posts, .sa_flags = SA_RESTART};
    sem_init(&handlers_sem, 0, 0);
    sigaction(SIGUSR1, &action, NULL);
    PEER { delay(80), poke(SIGUSR1); }
    label("sem.handler");
    begin(), done(sem_wait(&handlers_sem), NULL, -1);
    signal(SIGUSR1, SIG_DFL);
}

PROBE(sem_named) {
    char name[32];
    snprintf(name, sizeof name, "/weft-probe-%d", getpid());
    sem_t* s = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    label("sem.named");
    fact("opened", s != SEM_FAILED);
    if (s == SEM_FAILED) return;
    PEER { delay(80), sem_post(s); }
    begin(), done(sem_wait(s), NULL, -1);
    begin(), done(sem_close(s), NULL, -1);
    begin(), done(sem_unlink(name), NULL, -1);
}

// ---- the rest --------------------------------------------------------------------------------------------------------------

PROBE(rwlocks) {
    const struct timespec bad = {0, 1000000000}, past = {1, 0};
    for (int kind = 0; kind < 6; ++kind) {
        struct both* b = shared_memory(sizeof *b);
        pthread_rwlockattr_t a;
        pthread_rwlockattr_init(&a);
        pthread_rwlockattr_setkind_np(&a, kind / 2);
        pthread_rwlockattr_setpshared(&a, kind % 2);
        pthread_rwlock_t* l = &b->rwlock;
        must(-pthread_rwlock_init(l, &a), "pthread_rwlock_init");
        label("rwlock.read/%d", kind);
        begin(), done_code(pthread_rwlock_rdlock(l), NULL);
        begin(), done_code(pthread_rwlock_rdlock(l), NULL);
        begin(), done_code(pthread_rwlock_tryrdlock(l), NULL);
        begin(), done_code(pthread_rwlock_trywrlock(l), NULL);
        begin(), done_code(pthread_rwlock_timedwrlock(l, &past), NULL);
        begin(), done_code(pthread_rwlock_timedwrlock(l, &bad), NULL);
        struct timespec soon = in_ms(CLOCK_REALTIME, 80);
        begin(), done_code(pthread_rwlock_timedwrlock(l, &soon), NULL);
        for (int i = 0; i < 3; ++i) begin(), done_code(pthread_rwlock_unlock(l), NULL);
        label("rwlock.write/%d", kind);
        begin(), done_code(pthread_rwlock_wrlock(l), NULL);
        begin(), done_code(pthread_rwlock_wrlock(l), NULL);
        begin(), done_code(pthread_rwlock_rdlock(l), NULL);
        begin(), done_code(pthread_rwlock_tryrdlock(l), NULL);
        begin(), done_code(pthread_rwlock_trywrlock(l), NULL);
        begin(), done_code(pthread_rwlock_timedrdlock(l, &past), NULL);
        begin(), done_code(pthread_rwlock_timedrdlock(l, &bad), NULL);
        begin(), done_code(pthread_rwlock_unlock(l), NULL);
        begin(), done_code(pthread_rwlock_clockrdlock(l, CLOCK_PROCESS_CPUTIME_ID, &past), NULL);
        begin(), done_code(pthread_rwlock_timedrdlock(l, &bad), NULL);
        if (kind % 2) {
            must(sem_init(&b->ready, 1, 0), "sem_init");
            PEER {
                pthread_rwlock_wrlock(l);
                sem_post(&b->ready);
                delay(80);
                pthread_rwlock_unlock(l);
            }
            while (sem_wait(&b->ready) != 0) {}
            label("rwlock.blocks/%d", kind);
            begin(), done_code(pthread_rwlock_rdlock(l), NULL);
            begin(), done_code(pthread_rwlock_unlock(l), NULL);
        }
        label("rwlock.end/%d", kind);
        begin(), done_code(pthread_rwlock_destroy(l), NULL);
        reap();
        munmap(b, sizeof *b);
    }
}

static void* arrives(void* barrier) { return (void*)(long)pthread_barrier_wait(barrier); }
PROBE(barriers) {
    struct both* b = shared_memory(sizeof *b);
    pthread_barrierattr_t a;
    pthread_barrierattr_init(&a);
    for (int shared = 0; shared < 2; ++shared) {
        pthread_barrierattr_setpshared(&a, shared);
        label("barrier/%d", shared);
        begin(), done_code(pthread_barrier_init(&b->barrier, &a, 0), NULL);
        begin(), done_code(pthread_barrier_init(&b->barrier, &a, 2), NULL);
        pthread_t thread;
        long results = 0;
        for (int i = 0; i < 20; ++i) {
            void* result = NULL;
            pthread_create(&thread, NULL, arrives, &b->barrier);
            results += pthread_barrier_wait(&b->barrier);
            pthread_join(thread, &result);
            results += (long)result;
        }
        fact("serial", results);
        if (shared) {
            PEER { delay(80), pthread_barrier_wait(&b->barrier); }
            begin();
            const int result = pthread_barrier_wait(&b->barrier);
            done_code(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD, NULL);
            reap();
        }
        begin(), done_code(pthread_barrier_destroy(&b->barrier), NULL);
    }
    munmap(b, sizeof *b);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_count;
static void first(void) {
    delay(60);
    ++once_count;
}
static void* runs_once(void* argument) {
    pthread_once(&once, first);
    return argument;
}
PROBE(onces) {
    pthread_t thread;
    const pthread_once_t fresh = PTHREAD_ONCE_INIT;
    once = fresh;
    once_count = 0;
    pthread_create(&thread, NULL, runs_once, NULL);
    delay(20);
    label("once");
    begin(), done_code(pthread_once(&once, first), NULL);
    begin(), done_code(pthread_once(&once, first), NULL);
    fact("runs", once_count);
    pthread_join(thread, NULL);
}

static void* holds_spin(void* lock) {
    pthread_spin_lock(lock);
    delay(60);
    pthread_spin_unlock(lock);
    return NULL;
}
PROBE(spins) {
    pthread_spinlock_t s;
    pthread_t thread;
    pthread_spin_init(&s, 0);
    label("spin");
    begin(), done_code(pthread_spin_lock(&s), NULL);
    begin(), done_code(pthread_spin_trylock(&s), NULL);
    begin(), done_code(pthread_spin_unlock(&s), NULL);
    pthread_create(&thread, NULL, holds_spin, (void*)&s);
    delay(20);
    begin(), done_code(pthread_spin_lock(&s), NULL);
    begin(), done_code(pthread_spin_unlock(&s), NULL);
    pthread_join(thread, NULL);
}

PROBE(c11) {
    mtx_t m;
    cnd_t c;
    const struct timespec past = {1, 0};
    mtx_init(&m, mtx_timed | mtx_recursive);
    cnd_init(&c);
    label("c11");
    begin(), done_code(mtx_lock(&m), NULL);
    begin(), done_code(mtx_timedlock(&m, &past), NULL);
    begin(), done_code(mtx_unlock(&m), NULL);
    begin(), done_code(cnd_timedwait(&c, &m, &past), NULL);
    begin(), done_code(cnd_signal(&c), NULL);
    begin(), done_code(mtx_unlock(&m), NULL);
    begin(), done_code(mtx_unlock(&m), NULL);
    mtx_destroy(&m);
    mtx_init(&m, mtx_plain);
    mtx_lock(&m);
    begin(), done_code(mtx_trylock(&m), NULL);
    begin(), done_code(mtx_timedlock(&m, &past), NULL);
    mtx_unlock(&m);
}
