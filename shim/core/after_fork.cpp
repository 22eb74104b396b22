// SPDX-License-Identifier: Apache-2.0
#include "core/after_fork.hpp"

#include "calls/child_watch.hpp"
#include "calls/process.hpp"
#include "core/descriptor.hpp"
#include "core/signals.hpp"
#include "core/trap.hpp"
#include "threads/init.hpp"

#include <weft/hub.hpp>

#include <pthread.h>

namespace weft::shim {

void watch_forks() noexcept {
    ::pthread_atfork(&descriptor::child_begins, &descriptor::child_begins, [] {
        descriptor::child_begins();
        child_watch::after_fork();
        process::system_after_fork();
    });
}

void after_bare_fork() noexcept {
    descriptor::child_begins();
    child_watch::after_fork();
    signals::after_fork();
    trap::after_fork();
    locks::after_fork();
    weft::fork_reinit();
}

} // namespace weft::shim
