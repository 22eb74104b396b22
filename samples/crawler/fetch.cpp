// SPDX-License-Identifier: Apache-2.0
#include "fetch.hpp"

#include <curl/curl.h>

#include <array>
#include <exception>
#include <stdexcept>
#include <utility>

namespace crawl {
namespace {

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
    if (const auto code = curl_easy_setopt(easy, option, value); code != CURLE_OK)
        throw std::runtime_error(std::string("libcurl: ") + curl_easy_strerror(code));
}

bool status_worth_a_retry(long status) {
    return status == 408 || status == 429 || status >= 500;
}

std::string last_header(CURL* easy, const char* name) {
    curl_header* header = nullptr;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) return {};
    return header->value;
}

} // namespace

fetch_cache::fetch_cache() : share_(curl_share_init()) {
    if (!share_) throw std::runtime_error("libcurl gives no share handle");
    // No lock functions: all users are fibers of one kernel thread, and libcurl does not wait while it holds these.
    curl_share_setopt(static_cast<CURLSH*>(share_), CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(static_cast<CURLSH*>(share_), CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

fetch_cache::~fetch_cache() {
    curl_share_cleanup(static_cast<CURLSH*>(share_));
}

struct fetcher::transfer {
    CURL* easy = curl_easy_init();
    std::array<char, CURL_ERROR_SIZE> error{};
    std::string body;
    std::uint64_t limit = 0;
    bool cut = false;
    std::exception_ptr failure; // No exception crosses a C frame.

    ~transfer() { curl_easy_cleanup(easy); }

    static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) noexcept {
        auto& to = *static_cast<transfer*>(self);
        try {
            const auto room = to.limit - to.body.size();
            to.body.append(data, std::min<std::uint64_t>(size, room));
            to.cut = size > room;
            return to.cut ? 0 : size; // Less than `size` ends the transfer.
        } catch (...) {
            to.failure = std::current_exception();
            return 0;
        }
    }
};

fetcher::fetcher(const fetch_options& options, fetch_cache& cache)
    : options_(options), transfer_(std::make_unique<transfer>()) {
    CURL* easy = transfer_->easy;
    if (!easy) throw std::runtime_error("libcurl gives no handle");
    transfer_->limit = options.max_body;
    set(easy, CURLOPT_SHARE, static_cast<CURLSH*>(cache.share_));
    set(easy, CURLOPT_ERRORBUFFER, transfer_->error.data());
    set(easy, CURLOPT_WRITEFUNCTION, &transfer::on_body);
    set(easy, CURLOPT_WRITEDATA, transfer_.get());
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_ACCEPT_ENCODING, "");
    set(easy, CURLOPT_PATH_AS_IS, 1L);
    set(easy, CURLOPT_MAXCONNECTS, 1L);
    set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
    set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.timeout.count()));
    set(easy, CURLOPT_USERAGENT, options.user_agent.c_str());
}

fetcher::~fetcher() = default;

answer fetcher::get(const std::string& url, const std::string& referrer) {
    auto& on = *transfer_;
    on.body.clear();
    on.cut = false;
    on.error.front() = '\0';
    set(on.easy, CURLOPT_URL, url.c_str());
    set(on.easy, CURLOPT_REFERER, referrer.empty() ? nullptr : referrer.c_str());

    const auto start = std::chrono::steady_clock::now();
    const CURLcode code = curl_easy_perform(on.easy);
    answer out;
    out.elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    if (on.failure) std::rethrow_exception(std::exchange(on.failure, nullptr));

    curl_easy_getinfo(on.easy, CURLINFO_RESPONSE_CODE, &out.status);
    out.type_header = last_header(on.easy, "Content-Type");
    if (out.status >= 300 && out.status < 400) out.location = last_header(on.easy, "Location");
    out.body = std::move(on.body);
    out.cut = on.cut;
    if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && on.cut)) {
        out.error = on.error.front() ? on.error.data() : curl_easy_strerror(code);
        out.unreachable = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
        out.worth_a_retry = code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL &&
                            code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_COULDNT_RESOLVE_HOST;
    } else if (status_worth_a_retry(out.status)) {
        out.worth_a_retry = true;
        curl_off_t seconds = 0;
        if (curl_easy_getinfo(on.easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK)
            out.retry_after = std::chrono::seconds(seconds);
    }
    return out;
}

} // namespace crawl
