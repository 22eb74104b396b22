// SPDX-License-Identifier: Apache-2.0
#pragma once

// How queues keep their values. Each store has the same members, which basic_queue makes into what the user sees:
// put, try_put, get, try_get, peek, try_peek, shutdown, core, and its cases of a select.

#include <weft/detail/channel_store.hpp>
#include <weft/detail/heap_store.hpp>
#include <weft/detail/node_store.hpp>
