// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace site {

/// What a site looks like. The same options give the same site, byte for byte.
struct plan_options {
    std::size_t pages = 1000;                   ///< ordinary HTML pages, at least 1
    std::chrono::milliseconds delay{50};        ///< before every answer
    std::chrono::milliseconds slow_delay{1000}; ///< before a slow one
    bool plain = false; ///< only the ordinary pages: nothing slow, failing, broken or redirected
};

/// How an answer goes wrong on the way.
enum class trouble {
    none,
    drop,  ///< the connection is closed before a byte is sent
    cut,   ///< half of the body is sent, then the connection is closed
    flaky, ///< every other request, from the first, is answered with 503
};

/// What the server says to a path.
struct reply {
    int status = 200;
    std::string type = "text/html; charset=utf-8";
    std::string body = {};
    std::string location = {};
    std::chrono::milliseconds delay{0};
    trouble goes = trouble::none;
};

/// A site that exercises a crawler: pages in a tree with links across it in every spelling, redirects (chains, loops, to nothing, to
/// elsewhere), broken links, slow and failing pages, files that are no HTML, pages that robots.txt forbids, and links that are none.
class plan {
public:
    explicit plan(plan_options options);

    /// The answer to a path with its query, "/a?b". A path that does not exist is a 404. `host` is the request's Host header, for absolute links.
    reply answer(std::string_view target, std::string_view host) const;

    /// What exists, as JSON: pages, redirects (path to location), broken, slow, failing, flaky, files, refused, never (named only where a crawler
    /// must not look), linked_from (broken path to the pages that link to it), delay_ms. Every path as a crawler spells it.
    std::string manifest() const;

private:
    struct extra {
        std::string path;
        std::string kind;
        reply says;
    };

    void add(std::string kind, std::string path, reply says);
    void add_redirects();
    void add_failures();
    std::string page_path(std::size_t index) const;
    std::string page_body(std::size_t index, std::string_view host) const;
    std::vector<std::string> links_of(std::size_t index) const;

    plan_options options_;
    std::vector<extra> extras_;
    std::map<std::string, std::size_t, std::less<>> extra_at_;
    std::map<std::string, std::size_t, std::less<>> page_at_;
    std::map<std::size_t, std::vector<std::size_t>> extras_on_; // Page to the extras that it links to.
};

} // namespace site
