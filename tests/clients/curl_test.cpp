// SPDX-License-Identifier: Apache-2.0
// libcurl in fibers, with TLS and the resolver that Debian builds it with: kernel threads of its own.
#include "concurrent.hpp"
#include "nginx.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <curl/curl.h>
#include <memory>
#include <string>
#include <vector>

using namespace clients_test;

namespace {

using handle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

struct answer {
    CURLcode code = CURLE_OK;
    long status = 0;
    std::string body;
};

size_t keep(char* data, size_t, size_t size, void* into) {
    static_cast<std::string*>(into)->append(data, size);
    return size;
}

handle make_handle(const nginx& web) {
    handle h(curl_easy_init(), &curl_easy_cleanup);
    curl_easy_setopt(h.get(), CURLOPT_CAINFO, web.certificate().c_str());
    curl_easy_setopt(h.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(h.get(), CURLOPT_NOSIGNAL, 1L);
    return h;
}

answer get(CURL* h, const std::string& url) {
    answer a;
    curl_easy_setopt(h, CURLOPT_URL, url.c_str());
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, &keep);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &a.body);
    a.code = curl_easy_perform(h);
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &a.status);
    return a;
}

bool is_good(const answer& a) {
    return a.code == CURLE_OK && a.status == 200 && a.body == "slow but sure";
}

} // namespace

TEST_CASE("a hundred fibers ask nginx at once over TLS", "[serial]") {
    const nginx web;
    std::vector<handle> handles;
    for (int i = 0; i < fibers; ++i) handles.push_back(make_handle(web));
    int failures = 0;
    const auto ask = [&](int i) {
        const answer a = get(handles[static_cast<std::size_t>(i)].get(), web.tls("/slow"));
        if (!is_good(a)) UNSCOPED_INFO(curl_easy_strerror(a.code) << " " << a.status), ++failures;
    };
    all_at_once(ask); // makes the connections, which are kept
    CHECK(failures == 0);
    const auto took = measure("libcurl, TLS", ask);
    CHECK(failures == 0);
    CHECK(took < limit_for_all);
}

TEST_CASE("fetch_these_urls_and_print_the_length") {
    const nginx web;
    std::vector<weft::fiber<std::size_t>> lengths;
    for (const std::string& url : {web.plain("/"), web.plain("/big"), web.tls("/"), web.plain("/files/nothing")})
        lengths.push_back(weft::spawn([&web, url] { return get(make_handle(web).get(), url).body.size(); }));
    CHECK(weft::joinall(lengths, patience).size() == lengths.size());
    CHECK(lengths[0].get() == std::string_view("slow but sure").size());
    CHECK(lengths[1].get() == big_text().size());
    CHECK(lengths[2].get() == lengths[0].get());
    CHECK(lengths[3].get() > 0); // what the server says of an absent page
}

TEST_CASE("connections of libcurl are made inside fibers, with names resolved on its own threads") {
    REQUIRE((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) != 0);
    const nginx web;
    std::vector<weft::fiber<answer>> all;
    for (int i = 0; i < fibers; ++i)
        all.push_back(weft::spawn([&web, i] {
            const auto h = make_handle(web);
            return get(h.get(), i % 2 == 0 ? web.tls("/") : web.plain("/"));
        }));
    for (auto& f : all) {
        const answer a = f.get(patience);
        INFO(curl_easy_strerror(a.code));
        CHECK(is_good(a));
    }
    weft::spawn([&] {
        const auto h = make_handle(web);
        CHECK(get(h.get(), "http://nobody.invalid/").code == CURLE_COULDNT_RESOLVE_HOST);
    }).get(patience);
}

TEST_CASE("big answers of nginx arrive whole") {
    const nginx web;
    const std::string expected = big_text();
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 6; ++i)
        all.push_back(weft::spawn([&, i] {
            const auto h = make_handle(web);
            const answer a = get(h.get(), i % 2 == 0 ? web.tls("/big") : web.plain("/big"));
            CHECK(a.code == CURLE_OK);
            CHECK((a.body == expected));
        }));
    for (auto& f : all) f.get(patience);
}

TEST_CASE("a transfer of libcurl is cancelled by a timeout or a kill, and its handle can be used and closed") {
    nginx web;
    web.behind().signal(SIGSTOP); // it accepts and never answers
    weft::spawn([&] {
        const auto h = make_handle(web);
        answer a;
        CHECK(time_of([&] {
                  CHECK_THROWS_AS(weft::with_timeout(200ms, [&] { a = get(h.get(), web.tls("/slow")); }), weft::timeout_error);
              }) < 2s);
        CHECK(a.code != CURLE_OK);
        curl_easy_setopt(h.get(), CURLOPT_TIMEOUT_MS, 200L);
        const auto took = time_of([&] { CHECK(get(h.get(), web.tls("/slow")).code == CURLE_OPERATION_TIMEDOUT); }); // libcurl's own
        CHECK(took >= 195ms);
        CHECK(took < 2s);
    }).get(patience);

    bool began = false, closed = false;
    auto f = weft::spawn([&] {
        struct note {
            bool& closed;
            ~note() { closed = true; }
        } const at_end{closed};
        const auto h = make_handle(web);
        curl_easy_setopt(
            h.get(), CURLOPT_PREREQFUNCTION, +[](void* told, char*, char*, int, int) {
                *static_cast<bool*>(told) = true;
                return CURL_PREREQFUNC_OK;
            });
        curl_easy_setopt(h.get(), CURLOPT_PREREQDATA, &began);
        (void)get(h.get(), web.tls("/slow"));
        weft::this_fiber::yield();
        FAIL("the kill was lost");
    });
    wait_until([&] { return began; }, "the request is in flight");
    CHECK(time_of([&] { CHECK(f.kill(patience)); }) < 2s);
    CHECK(closed);

    web.behind().signal(SIGCONT);
    weft::spawn([&] {
        const auto h = make_handle(web);
        CHECK(is_good(get(h.get(), web.tls("/slow"))));
    }).get(patience);
}

TEST_CASE("an nginx that restarts is an error of libcurl, then an answer again") {
    nginx web;
    web.behind().signal(SIGSTOP);
    int began = 0;
    std::vector<handle> handles;
    std::vector<weft::fiber<CURLcode>> all;
    for (int i = 0; i < 10; ++i) {
        CURL* h = handles.emplace_back(make_handle(web)).get();
        curl_easy_setopt(
            h, CURLOPT_PREREQFUNCTION, +[](void* told, char*, char*, int, int) {
                ++*static_cast<int*>(told);
                return CURL_PREREQFUNC_OK;
            });
        curl_easy_setopt(h, CURLOPT_PREREQDATA, &began);
        all.push_back(weft::spawn([&web, h] { return get(h, web.tls("/slow")).code; }));
    }
    wait_until([&] { return began == 10; }, "the requests are in flight");
    web.process().stop();
    for (auto& f : all) {
        const CURLcode code = f.get(patience);
        INFO(curl_easy_strerror(code));
        CHECK((code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR));
    }
    weft::spawn([&] { CHECK(get(handles[0].get(), web.tls("/slow")).code == CURLE_COULDNT_CONNECT); }).get(patience);
    web.behind().signal(SIGCONT);
    web.process().start();
    std::vector<weft::fiber<bool>> again;
    for (auto& h : handles) again.push_back(weft::spawn([&web, &h] { return is_good(get(h.get(), web.tls("/slow"))); }));
    for (auto& a : again) CHECK(a.get(patience));
}
