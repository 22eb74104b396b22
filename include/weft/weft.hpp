// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of weft.
///
/// @code
/// auto f = weft::spawn([] { return std::string("hello"); });
/// std::cout << f.get();
/// @endcode

#include <weft/connection.hpp>
#include <weft/coroutine.hpp>
#include <weft/deadline.hpp>
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/export.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/inspect.hpp>
#include <weft/io.hpp>
#include <weft/local.hpp>
#include <weft/patch.hpp>
#include <weft/pool.hpp>
#include <weft/process.hpp>
#include <weft/queue.hpp>
#include <weft/select.hpp>
#include <weft/server.hpp>
#include <weft/signal.hpp>
#include <weft/subprocess.hpp>
#include <weft/sync.hpp>
#include <weft/threadpool.hpp>
#include <weft/timeout.hpp>
#include <weft/version.hpp>
