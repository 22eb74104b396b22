// SPDX-License-Identifier: Apache-2.0
// The formats that the crawler reads from others, and from its own journal: robots.txt and rows of JSON.
#include "record.hpp"
#include "robots.hpp"

#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto rules = crawl::robots_rules::parse(text, "weft-crawler/0.1");
    (void)rules.allows("/a/b?c=d");
    (void)rules.allows(text.substr(0, 64));
    if (!rules.allows("/robots.txt")) std::abort();
    if (const auto row = crawl::from_json_line(text)) {
        // What was read is written, and read the same.
        const auto again = crawl::from_json_line(crawl::to_json_line(*row));
        if (!again || again->url != row->url || again->status != row->status || again->links.size() != row->links.size()) std::abort();
    }
    return 0;
}
