// SPDX-License-Identifier: Apache-2.0
// System V message queues and semaphores.
#include "probe.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

struct message {
    long type;
    char text[32];
};
static struct message m;

static void send_raw(int q, long type, const char* text) {
    struct message out = {type, ""};
    strcpy(out.text, text);
    raw(SYS_msgsnd, q, &out, strlen(text), 0);
}
static long receive_raw(int q) {
    struct message in;
    return raw(SYS_msgrcv, q, &in, sizeof in.text, 0, IPC_NOWAIT);
}
/// A queue that holds 40 bytes.
static int open_queue(void) {
    const int q = must(msgget(IPC_PRIVATE, 0600), "msgget");
    struct msqid_ds shape;
    msgctl(q, IPC_STAT, &shape);
    shape.msg_qbytes = 40;
    must(msgctl(q, IPC_SET, &shape), "msgctl");
    return q;
}

PROBE(receiving) {
    const int q = open_queue();
    send_raw(q, 1, "one");
    send_raw(q, 2, "two");
    label("msgrcv.ready");
    begin();
    done(msgrcv(q, &m, sizeof m.text, 2, 0), m.text, -1);
    fact("type", m.type);
    begin();
    done(msgrcv(q, &m, sizeof m.text, 0, 0), m.text, -1);
    label("msgrcv.blocks");
    PEER { delay(60); send_raw(q, 3, "wrong type"); delay(20); send_raw(q, 4, "later"); }
    begin();
    done(msgrcv(q, &m, sizeof m.text, 4, 0), m.text, -1);
    reap();
    label("msgrcv.nonblock");
    begin();
    done(msgrcv(q, &m, sizeof m.text, 4, IPC_NOWAIT), NULL, -1);
    label("msgrcv.flags/too_long");
    begin();
    done(msgrcv(q, &m, 2, 3, 0), NULL, -1);
    begin();
    done(msgrcv(q, &m, 2, 3, MSG_NOERROR), m.text, -1);
    for (int restart = 0; restart < 2; ++restart) {
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        label("msgrcv.%s", restart ? "restart" : "eintr");
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(msgrcv(q, &m, sizeof m.text, 0, 0), NULL, -1);
        fact("caught", caught);
        reap();
    }
    label("msgrcv.closing");
    PEER { delay(60); raw(SYS_msgctl, q, IPC_RMID, NULL); }
    begin();
    done(msgrcv(q, &m, sizeof m.text, 0, 0), NULL, -1);
    reap();
    label("msgrcv.badfd");
    begin();
    done(msgrcv(q, &m, sizeof m.text, 0, 0), NULL, -1);
    begin();
    done(msgrcv(-1, &m, sizeof m.text, 0, 0), NULL, -1);
}

PROBE(sending) {
    const int q = open_queue();
    m.type = 7;
    strcpy(m.text, "0123456789012345678901234");
    label("msgsnd.ready");
    begin();
    done(msgsnd(q, &m, 25, 0), NULL, -1);
    label("msgsnd.nonblock");
    begin();
    done(msgsnd(q, &m, 25, IPC_NOWAIT), NULL, -1);
    label("msgsnd.blocks");
    PEER { delay(60); receive_raw(q); }
    begin();
    done(msgsnd(q, &m, 25, 0), NULL, -1);
    reap();
    for (int restart = 0; restart < 2; ++restart) {
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        label("msgsnd.%s", restart ? "restart" : "eintr");
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(msgsnd(q, &m, 25, 0), NULL, -1);
        fact("caught", caught);
        reap();
    }
    label("msgsnd.badfd/type");
    m.type = 0;
    begin();
    done(msgsnd(q, &m, 2, 0), NULL, -1);
    m.type = 7;
    label("msgsnd.badfd/size");
    begin();
    done(msgsnd(q, &m, 1 << 20, 0), NULL, -1);
    label("msgsnd.closing");
    PEER { delay(60); raw(SYS_msgctl, q, IPC_RMID, NULL); }
    begin();
    done(msgsnd(q, &m, 25, 0), NULL, -1);
    reap();
    label("msgsnd.badfd");
    begin();
    done(msgsnd(q, &m, 2, 0), NULL, -1);
}

static void op_raw(int set, int number, int by) {
    struct sembuf op = {(unsigned short)number, (short)by, 0};
    raw(SYS_semtimedop, set, &op, 1, NULL);
}

PROBE(semaphores) {
    const int set = must(semget(IPC_PRIVATE, 3, 0600), "semget");
    struct sembuf take = {0, -1, 0}, give = {0, 1, 0}, zero = {1, 0, 0}, try_it = {0, -1, IPC_NOWAIT};
    struct timespec limit = {5, 0};
    for (int timed = 0; timed < 2; ++timed) {
        const char* name = timed ? "semtimedop" : "semop";
#define OPERATE(ops, count) (timed ? semtimedop(set, ops, count, &limit) : semop(set, ops, count))
        label("%s.ready", name);
        begin();
        done(OPERATE(&give, 1), NULL, -1);
        begin();
        done(OPERATE(&take, 1), NULL, -1);
        fact("pid_is_mine", semctl(set, 0, GETPID) == getpid());
        label("%s.nonblock", name);
        begin();
        done(OPERATE(&try_it, 1), NULL, -1);
        label("%s.blocks", name);
        PEER { delay(60); op_raw(set, 0, 1); }
        begin();
        done(OPERATE(&take, 1), NULL, -1);
        reap();
        label("%s.blocks/zero", name);
        op_raw(set, 1, 2);
        PEER { delay(60); op_raw(set, 1, -1); op_raw(set, 1, -1); }
        begin();
        done(OPERATE(&zero, 1), NULL, -1);
        reap();
        label("%s.two/all_or_nothing", name);
        struct sembuf both[2] = {{0, -1, 0}, {2, -1, 0}};
        op_raw(set, 0, 1);
        PEER { delay(60); op_raw(set, 2, 1); }
        begin();
        done(OPERATE(both, 2), NULL, -1);
        fact("left", semctl(set, 0, GETVAL) + semctl(set, 2, GETVAL));
        reap();
        for (int restart = 0; restart < 2; ++restart) {
            handle(SIGUSR1, restart ? SA_RESTART : 0);
            label("%s.%s", name, restart ? "restart" : "eintr");
            PEER { delay(50); poke(SIGUSR1); }
            begin();
            done(OPERATE(&take, 1), NULL, -1);
            fact("caught", caught);
            reap();
        }
        label("%s.flags/waiters_are_counted", name);
        PEER { delay(50); const long n = raw(SYS_semctl, set, 0, GETNCNT); op_raw(set, 1, n == 1 ? 1 : 2); op_raw(set, 0, 1); }
        begin();
        done(OPERATE(&take, 1), NULL, -1);
        fact("counted", semctl(set, 1, GETVAL));
        reap();
        semctl(set, 1, SETVAL, 0);
        struct sembuf wrong = {99, 1, 0};
        label("%s.badfd", name);
        begin();
        done(OPERATE(&wrong, 1), NULL, -1);
        begin();
        done(OPERATE(&take, 0), NULL, -1);
        begin();
        done(timed ? semtimedop(-1, &take, 1, &limit) : semop(-1, &take, 1), NULL, -1);
        struct sembuf* volatile nowhere = (struct sembuf*)8;
        begin();
        done(OPERATE(nowhere, 1), NULL, -1);
    }
    limit = (struct timespec){0, 80000000};
    label("semtimedop.timeout");
    begin();
    done(semtimedop(set, &take, 1, &limit), NULL, -1);
    limit = (struct timespec){0, 0};
    begin();
    done(semtimedop(set, &take, 1, &limit), NULL, -1);
    limit = (struct timespec){0, -1};
    label("semtimedop.badfd/odd");
    begin();
    done(semtimedop(set, &take, 1, &limit), NULL, -1);
    label("semop.closing");
    PEER { delay(60); raw(SYS_semctl, set, 0, IPC_RMID); }
    begin();
    done(semop(set, &take, 1), NULL, -1);
    reap();
}

// What a process took with SEM_UNDO comes back when it ends, wherever in it the operation was made.
PROBE(undone) {
    const int set = must(semget(IPC_PRIVATE, 1, 0600), "semget");
    op_raw(set, 0, 1);
    fflush(stdout);
    if (fork() == 0) {
        struct sembuf take = {0, -1, SEM_UNDO}, again = {0, -1, SEM_UNDO};
        semop(set, &take, 1);
        semop(set, &again, 1); // waits: until the parent gives one
        _exit(0);
    }
    label("semop.fork/undone");
    delay(60);
    fact("taken", semctl(set, 0, GETVAL));
    op_raw(set, 0, 1);
    reap();
    fact("back", semctl(set, 0, GETVAL));
    semctl(set, 0, IPC_RMID);
}
