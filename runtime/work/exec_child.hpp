// SPDX-License-Identifier: Apache-2.0
#pragma once

// A child that becomes another program: made as by vfork, but with its pidfd in hand before anybody can reap it, and with what posix_spawn
// cannot set. Everything is prepared beforehand: the child runs on its parent's stack and makes system calls by instruction only.

#include <cstddef>

#include <csignal>
#include <sys/types.h>

namespace weft::rt {

struct exec_plan {
    const char* const* places = nullptr; // where the program may be; ends with a null
    char* const* arguments = nullptr;
    char* const* environment = nullptr;

    int streams[3] = {-1, -1, -1}; // what the standard descriptors become; -1: as they are
    bool null_streams[3] = {};     // /dev/null
    bool errors_to_output = false;
    const int* passed = nullptr; // descriptors that stay, sorted
    std::size_t passed_count = 0;
    bool close_others = true;

    int folder = -1;
    int umask = -1;
    bool new_session = false;
    int process_group = -1;
    bool restore_signals = true;
    sigset_t mask = {};

    bool set_groups = false;
    const gid_t* groups = nullptr;
    std::size_t group_count = 0;
    long group = -1;
    long user = -1;
};

struct exec_child {
    pid_t pid = -1;
    int pidfd = -1; // close-on-exec; -1 where the kernel has none
    int error = 0;  // errno, exec's included; then there is no child
};

/// Returns when the child has begun its program or failed to.
exec_child start_exec_child(const exec_plan& plan) noexcept;

} // namespace weft::rt
