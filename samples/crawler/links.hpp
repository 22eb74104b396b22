// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crawl {

/// How extract_links reads a document.
struct link_options {
    bool obey_nofollow =
        true; ///< leave out rel="nofollow" and everything under <meta name="robots" content="nofollow">
};

/// The links of an HTML document in the order of their first appearance, each once, in normal form (see url.hpp),
/// relative ones resolved against the first <base href> or else `document_url`.
///
/// Taken: what a page names for a reader or a browser to fetch, as `wget --recursive` does.
///   href of a, area, link (but rel=preconnect and dns-prefetch name no document);
///   src of frame, iframe, img, script, embed, input, audio, video, source, track; poster of video; srcset of img and source;
///   data of object; background of body, table, td, th; the target of <meta http-equiv=refresh>.
/// Not taken: comments, text inside scripts, forms (sending one is an act), http-equiv other than refresh, CSS.
///
/// `charset` is what the Content-Type header said, or empty; a byte order mark or a <meta> decides then. Characters
/// outside ASCII in a link become the percent-encoded bytes of their UTF-8 form. Never throws for bad HTML, suspends nothing.
std::vector<std::string> extract_links(
    std::string_view html, std::string_view document_url, std::string_view charset = {}, link_options options = {});

/// The media type of a Content-Type header in lower case ("text/html"), and its charset or nothing.
struct content_type {
    std::string type;
    std::string charset;
};
content_type parse_content_type(std::string_view header);

/// True for text/html and application/xhtml+xml; without any type, for a body that begins as HTML does.
bool is_html(std::string_view type, std::string_view body);

} // namespace crawl
