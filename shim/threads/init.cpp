// SPDX-License-Identifier: Apache-2.0
#include "threads/init.hpp"

#include "threads/green.hpp"
#include "threads/identity.hpp"
#include "threads/keeper.hpp"
#include "threads/loader.hpp"
#include "threads/once.hpp"
#include "threads/rights.hpp"
#include "threads/table.hpp"

#include <pthread.h>

namespace weft::shim::locks {

void initialise() noexcept {
    identity_initialise();
    loader::initialise();
    ::pthread_atfork(nullptr, nullptr, &after_fork);
}

void after_fork() noexcept {
    identity_after_fork();
    table_after_fork();
    keeper::after_fork();
    once::after_fork();
    green::after_fork();
    loader::after_fork();
    rights::after_fork();
}

} // namespace weft::shim::locks
