// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace crawl {

/// How every request is made.
struct fetch_options {
    std::chrono::milliseconds timeout{30'000}; ///< for one whole request
    std::uint64_t max_body = 16U << 20U;       ///< bytes of a body (decompressed) that are kept
    std::string user_agent;
};

/// What came of one request.
struct answer {
    long status = 0;         ///< 0: no answer
    std::string type_header; ///< Content-Type as sent
    std::string location;    ///< Location as sent, for a 3xx answer
    std::string body;
    bool cut = false;                         ///< the body was longer than max_body
    std::string error;                        ///< why there is no (complete) answer, or empty
    bool unreachable = false;                 ///< no connection came about, or the name is unknown
    bool worth_a_retry = false;               ///< another attempt may go better: no connection, time-out, 408, 429, 5xx
    std::chrono::milliseconds retry_after{0}; ///< what the server asked for, or 0
    std::chrono::milliseconds elapsed{0};
};

/// What all fetchers of a kernel thread share: looked-up names and TLS sessions. Must outlive them.
class fetch_cache {
public:
    fetch_cache();
    ~fetch_cache();
    fetch_cache(const fetch_cache&) = delete;
    fetch_cache& operator=(const fetch_cache&) = delete;

private:
    friend class fetcher;
    void* share_;
};

/// Fetches one URL after the other by plain blocking curl_easy_perform, and keeps its connection open between them. Nothing
/// in here knows of fibers: that a hundred of these run at once on one kernel thread is the linker's doing.
class fetcher {
public:
    /// Throws std::runtime_error when libcurl gives no handle.
    fetcher(const fetch_options& options, fetch_cache& cache);
    ~fetcher();
    fetcher(const fetcher&) = delete;
    fetcher& operator=(const fetcher&) = delete;

    /// One GET; redirects are not followed. `referrer` may be empty. Failures are in the answer, only std::bad_alloc is thrown.
    answer get(const std::string& url, const std::string& referrer);

private:
    struct transfer;
    const fetch_options& options_;
    std::unique_ptr<transfer> transfer_;
};

} // namespace crawl
