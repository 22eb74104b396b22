// SPDX-License-Identifier: Apache-2.0
#pragma once

// libc's own functions, behind our stubs. `real().read` is always libc's.

#include <cstddef>
#include <string_view>

#include "core/real_stdio.hpp"

#include <aio.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <link.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <resolv.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#undef p_type // resolv.h; a member of what link.h describes

extern "C" {
#include <sys/pidfd.h> // without its own linkage in glibc 2.36
}

// The names that fortified binaries import; libc exports them without declaring them outside its fortify headers.
extern "C" {
ssize_t __read_chk(int fd, void* buffer, std::size_t size, std::size_t capacity);
ssize_t __recv_chk(int fd, void* buffer, std::size_t size, std::size_t capacity, int flags);
ssize_t __recvfrom_chk(int fd, void* buffer, std::size_t size, std::size_t capacity, int flags, sockaddr* from,
                       socklen_t* from_size);
int __poll_chk(pollfd* fds, nfds_t count, int timeout, std::size_t capacity);
int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask, std::size_t capacity);
ssize_t __read(int fd, void* buffer, std::size_t size);
ssize_t __write(int fd, const void* buffer, std::size_t size);
ssize_t __send(int fd, const void* buffer, std::size_t size, int flags);
int __connect(int fd, const sockaddr* address, socklen_t size);
ssize_t __pread64(int fd, void* buffer, std::size_t size, off64_t offset);
ssize_t __pwrite64(int fd, const void* buffer, std::size_t size, off64_t offset);
ssize_t __pread_chk(int fd, void* buffer, std::size_t size, off_t offset, std::size_t capacity);
ssize_t __pread64_chk(int fd, void* buffer, std::size_t size, off64_t offset, std::size_t capacity);
int __poll(pollfd* fds, nfds_t count, int timeout);
int __select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout);
int __sched_yield() noexcept;
int __close(int fd);
int __dup2(int from, int to) noexcept;
int __pipe(int fds[2]) noexcept;
int __fcntl(int fd, int command, ...);
int __open(const char* path, int flags, ...);
int __open64(const char* path, int flags, ...);
int __open_2(const char* path, int flags);
int __open64_2(const char* path, int flags);
int __openat_2(int directory, const char* path, int flags);
int __openat64_2(int directory, const char* path, int flags);
int __sigaction(int number, const struct sigaction* wanted, struct sigaction* old) noexcept;
struct termios;
int openpty(int* master, int* slave, char* name, const termios* settings, const winsize* size) noexcept;
int forkpty(int* master, char* name, const termios* settings, const winsize* size) noexcept;
int login_tty(int fd) noexcept;
pid_t __fork() noexcept;
pid_t __vfork() noexcept;
int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...) noexcept;
pid_t __wait(int* status);
pid_t __waitpid(pid_t pid, int* status, int options);
sighandler_t bsd_signal(int number, sighandler_t handler) noexcept;
int __res_query(const char* name, int kind, int type, unsigned char* answer, int size) noexcept;
int __res_search(const char* name, int kind, int type, unsigned char* answer, int size) noexcept;
int __res_querydomain(const char* name, const char* domain, int kind, int type, unsigned char* answer, int size) noexcept;
int __res_send(const unsigned char* message, int length, unsigned char* answer, int size) noexcept;
int __res_nquery(res_state s, const char* name, int kind, int type, unsigned char* answer, int size) noexcept;
int __res_nsearch(res_state s, const char* name, int kind, int type, unsigned char* answer, int size) noexcept;
int __res_nquerydomain(res_state s, const char* name, const char* domain, int kind, int type, unsigned char* answer, int size) noexcept;
int __res_nsend(res_state s, const unsigned char* message, int length, unsigned char* answer, int size) noexcept;
int __nanosleep(const timespec* wanted, timespec* left);
int pthread_yield() noexcept;
void __longjmp_chk(__jmp_buf_tag buffer[1], int value) __attribute__((noreturn));
int __sigsuspend(const sigset_t* mask);
int __sigpause(int number_or_mask, int is_number);
int __xpg_sigpause(int number);
int __pthread_mutex_lock(pthread_mutex_t* m) noexcept;
int __pthread_mutex_trylock(pthread_mutex_t* m) noexcept;
int __pthread_mutex_unlock(pthread_mutex_t* m) noexcept;
int __pthread_rwlock_rdlock(pthread_rwlock_t* l) noexcept;
int __pthread_rwlock_wrlock(pthread_rwlock_t* l) noexcept;
int __pthread_rwlock_tryrdlock(pthread_rwlock_t* l) noexcept;
int __pthread_rwlock_trywrlock(pthread_rwlock_t* l) noexcept;
int __pthread_rwlock_unlock(pthread_rwlock_t* l) noexcept;
int __sched_getscheduler(pid_t who) noexcept;
int __sched_setscheduler(pid_t who, int policy, const sched_param* p) noexcept;
int __sched_getparam(pid_t who, sched_param* p) noexcept;
pid_t __getpgid(pid_t process) noexcept;
int __setpgid(pid_t process, pid_t group) noexcept;
int capget(void* header, void* data) noexcept;
// What binaries call that were built before glibc 2.33.
int __xstat(int version, const char* path, struct stat* out) noexcept;
int __xstat64(int version, const char* path, struct stat64* out) noexcept;
int __lxstat(int version, const char* path, struct stat* out) noexcept;
int __lxstat64(int version, const char* path, struct stat64* out) noexcept;
int __fxstatat(int version, int directory, const char* path, struct stat* out, int flags) noexcept;
int __fxstatat64(int version, int directory, const char* path, struct stat64* out, int flags) noexcept;
ssize_t __readlink_chk(const char* path, char* to, std::size_t room, std::size_t capacity) noexcept;
ssize_t __readlinkat_chk(int directory, const char* path, char* to, std::size_t room, std::size_t capacity) noexcept;
char* __realpath_chk(const char* path, char* to, std::size_t capacity) noexcept;
int __pthread_once(pthread_once_t* control, void (*routine)());
}

namespace weft::shim {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // siginterrupt: programs use it all the same
struct real_calls {
#define WEFT_CALL(name, family) decltype(&::name) name;
#include "core/calls.def"
#undef WEFT_CALL
};
#pragma GCC diagnostic pop

/// What `real` returns before its pointers are there: it resolves them. Nothing here needs a constructor to have run.
const real_calls& resolve_real() noexcept;

extern constinit real_calls real_table;
extern constinit bool real_resolved;

inline const real_calls& real() noexcept { return __builtin_expect(real_resolved, 1) ? real_table : resolve_real(); }

/// The real function of that name, or nullptr.
void* real_by_name(std::string_view name) noexcept;

} // namespace weft::shim
