// SPDX-License-Identifier: Apache-2.0
#pragma once

// Message queues and semaphores between processes. They are attempted first. What must wait does so in the kernel, on a kernel thread of
// weft's: a queue's notification goes out only while nobody receives, and waiting senders, receivers and semaphore operations are counted
// and served in the kernel's own order, so that polling would show.

#include <cstddef>
#include <ctime>

#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>

namespace weft::shim::ipc {

ssize_t mq_timedreceive(mqd_t queue, char* message, std::size_t size, unsigned* priority, const timespec* until) noexcept;
ssize_t mq_receive(mqd_t queue, char* message, std::size_t size, unsigned* priority) noexcept;
int mq_timedsend(mqd_t queue, const char* message, std::size_t size, unsigned priority, const timespec* until) noexcept;
int mq_send(mqd_t queue, const char* message, std::size_t size, unsigned priority) noexcept;

ssize_t msgrcv(int queue, void* message, std::size_t size, long type, int flags) noexcept;
int msgsnd(int queue, const void* message, std::size_t size, int flags) noexcept;
int semtimedop(int set, sembuf* operations, std::size_t count, const timespec* timeout) noexcept;
int semop(int set, sembuf* operations, std::size_t count) noexcept;

} // namespace weft::shim::ipc
