// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "redis_address.hpp"

#include <weft/sync.hpp>

#include <hiredis/hiredis.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace crawl {

/// The server could not be reached, or not again within the time given to it.
struct redis_lost : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The server's own error.
struct redis_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Blocking hiredis for many fibers: a call suspends its fiber, and the others share a few connections. A connection that is lost
/// is made again, with growing pauses.
class redis {
public:
    using reply = std::unique_ptr<redisReply, void (*)(redisReply*)>;
    using words = std::vector<std::string>;

    redis(redis_address where, std::chrono::milliseconds patience);

    /// The answer; after a loss the command is sent again, so it must bear being executed twice. Throws redis_lost when the server
    /// was away for longer than the patience, redis_error when it refuses the command.
    reply command(const words& all);

    /// The same without a second attempt.
    reply try_command(const words& all);

    const redis_address& where() const { return where_; }

private:
    using connection = std::unique_ptr<redisContext, void (*)(redisContext*)>;

    connection connect() const;

    static constexpr std::size_t most_connections = 8;

    redis_address where_;
    std::chrono::milliseconds patience_;
    std::vector<connection> idle_;
    weft::semaphore places_{most_connections};
};

} // namespace crawl
