// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for input and output that threads of libc's complete. The requests themselves are libc's.

#include <ctime>

#include <aio.h>

namespace weft::shim::completion {

int suspend(const aiocb* const list[], int count, const timespec* timeout) noexcept;
/// lio_listio. LIO_WAIT is served as LIO_NOWAIT and aio_suspend: libc's own leaves its stack in a list when it is interrupted.
int list_io(int mode, aiocb* const list[], int count, sigevent* event) noexcept;

} // namespace weft::shim::completion
