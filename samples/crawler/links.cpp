// SPDX-License-Identifier: Apache-2.0
#include "links.hpp"

#include "url.hpp"

#include <libxml/HTMLparser.h>
#include <libxml/encoding.h>
#include <libxml/parserInternals.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <unordered_set>

namespace crawl {
namespace {

/// Where links are: attribute `attribute` of element `element`.
struct place {
    std::string_view element;
    std::string_view attribute;
};

constexpr std::array places{
    place{"a", "href"},           place{"area", "href"},     place{"link", "href"},     place{"frame", "src"},
    place{"iframe", "src"},       place{"img", "src"},       place{"script", "src"},    place{"embed", "src"},
    place{"input", "src"},        place{"audio", "src"},     place{"video", "src"},     place{"video", "poster"},
    place{"source", "src"},       place{"track", "src"},     place{"object", "data"},   place{"body", "background"},
    place{"table", "background"}, place{"td", "background"}, place{"th", "background"},
};

std::string lower_text(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return out;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view spaces = " \t\r\n\f";
    const auto first = text.find_first_not_of(spaces);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

/// Is `word` among the words of a space- or comma-separated list, whatever its case?
bool has_word(std::string_view list, std::string_view word) {
    constexpr std::string_view separators = " \t\r\n\f,";
    const std::string text = lower_text(list);
    for (std::size_t at = 0; at < text.size();) {
        const auto first = text.find_first_not_of(separators, at);
        if (first == std::string::npos) return false;
        const auto last = std::min(text.find_first_of(separators, first), text.size());
        if (std::string_view(text).substr(first, last - first) == word) return true;
        at = last;
    }
    return false;
}

/// One element's attributes as libxml2 hands them over: name, value, name, value, null.
class attributes {
public:
    explicit attributes(const xmlChar** list) : list_(list) {}

    std::optional<std::string_view> find(std::string_view name) const {
        for (const xmlChar** at = list_; at && *at; at += 2)
            if (name == reinterpret_cast<const char*>(at[0]))
                return at[1] ? reinterpret_cast<const char*>(at[1]) : std::string_view();
        return std::nullopt;
    }
    std::string_view value(std::string_view name) const { return find(name).value_or(std::string_view()); }

private:
    const xmlChar** list_;
};

/// What one pass over a document found; links stay unresolved until the end, when the base is known.
struct findings {
    link_options options;
    std::vector<std::string> references;
    std::optional<std::string> base;
    bool page_says_nofollow = false;
    std::exception_ptr failure; // No exception crosses a C frame.
};

void take_srcset(findings& out, std::string_view list) {
    // "url 2x, url 640w": a candidate's URL holds no space and does not end in a comma.
    while (!(list = trim(list)).empty()) {
        if (list.front() == ',') {
            list.remove_prefix(1);
            continue;
        }
        const auto end = std::min(list.find_first_of(" \t\r\n\f"), list.size());
        auto url = list.substr(0, end);
        const bool alone = url.back() == ',';
        while (!url.empty() && url.back() == ',') url.remove_suffix(1);
        if (!url.empty()) out.references.emplace_back(url);
        list.remove_prefix(alone ? end : std::min(list.find(',', end), list.size()));
    }
}

/// content="5; url='next.html'"
void take_refresh(findings& out, std::string_view content) {
    const auto at = lower_text(content).find("url");
    if (at == std::string::npos) return;
    auto rest = trim(content.substr(at + 3));
    if (rest.empty() || rest.front() != '=') return;
    rest = trim(rest.substr(1));
    if (!rest.empty() && (rest.front() == '"' || rest.front() == '\'')) {
        const char quote = rest.front();
        rest.remove_prefix(1);
        rest = rest.substr(0, rest.find(quote));
    }
    if (!rest.empty()) out.references.emplace_back(rest);
}

void take_meta(findings& out, const attributes& in) {
    if (lower_text(in.value("http-equiv")) == "refresh") take_refresh(out, in.value("content"));
    if (lower_text(in.value("name")) == "robots")
        out.page_says_nofollow |= has_word(in.value("content"), "nofollow") || has_word(in.value("content"), "none");
}

void take_element(findings& out, std::string_view element, const attributes& in) {
    if (element == "base") {
        if (const auto href = in.find("href"); href && !out.base) out.base = std::string(*href);
        return;
    }
    if (element == "meta") return take_meta(out, in);
    const auto rel = in.value("rel");
    if (out.options.obey_nofollow && has_word(rel, "nofollow")) return;
    if (element == "link" && (has_word(rel, "preconnect") || has_word(rel, "dns-prefetch"))) return;
    for (const auto& where : places) {
        if (where.element != element) continue;
        // An empty reference means the document itself, which an image or a script cannot mean.
        if (const auto value = in.find(where.attribute); value && (!trim(*value).empty() || element == "a"))
            out.references.emplace_back(*value);
    }
    if (element == "img" || element == "source") take_srcset(out, in.value("srcset"));
}

extern "C" {
static void on_start_element(void* context, const xmlChar* name, const xmlChar** list) noexcept {
    auto& out = *static_cast<findings*>(context);
    if (out.failure) return;
    try {
        take_element(out, reinterpret_cast<const char*>(name), attributes(list));
    } catch (...) {
        out.failure = std::current_exception();
    }
}
}

void parse(std::string_view html, std::string_view charset, findings& out) {
    const std::unique_ptr<htmlParserCtxt, decltype(&htmlFreeParserCtxt)> parser(
        htmlCreatePushParserCtxt(nullptr, nullptr, nullptr, 0, nullptr, XML_CHAR_ENCODING_NONE), &htmlFreeParserCtxt);
    if (!parser) throw std::bad_alloc();
    htmlSAXHandler sax{};
    sax.startElement = on_start_element;
    *parser->sax = sax;
    parser->userData = &out;
    htmlCtxtUseOptions(parser.get(), HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET);
    *parser->sax = sax;
    if (!charset.empty()) {
        if (auto* encoding = xmlFindCharEncodingHandler(std::string(charset).c_str()))
            xmlSwitchToEncoding(parser.get(), encoding);
    }
    constexpr std::size_t slice = 64 * 1024;
    for (std::size_t at = 0; at < html.size(); at += slice) {
        const auto piece = html.substr(at, slice);
        htmlParseChunk(parser.get(), piece.data(), static_cast<int>(piece.size()), 0);
    }
    htmlParseChunk(parser.get(), nullptr, 0, 1);
}

} // namespace

std::vector<std::string>
extract_links(std::string_view html, std::string_view document_url, std::string_view charset, link_options options) {
    findings found;
    found.options = options;
    parse(html, charset, found);
    if (found.failure) std::rethrow_exception(found.failure);

    std::vector<std::string> out;
    if (found.page_says_nofollow && options.obey_nofollow) return out;
    const std::string base = found.base ? resolve_url(document_url, *found.base).value_or(std::string(document_url))
                                        : std::string(document_url);
    std::unordered_set<std::string> seen;
    for (const auto& reference : found.references)
        if (auto url = resolve_url(base, reference); url && seen.insert(*url).second) out.push_back(std::move(*url));
    return out;
}

content_type parse_content_type(std::string_view header) {
    content_type out;
    out.type = lower_text(trim(header.substr(0, header.find(';'))));
    const std::string text = lower_text(header);
    if (const auto at = text.find("charset="); at != std::string::npos) {
        auto value = trim(std::string_view(text).substr(at + 8));
        value = trim(value.substr(0, value.find(';')));
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
        out.charset = value;
    }
    return out;
}

bool is_html(std::string_view type, std::string_view body) {
    if (!type.empty()) return type == "text/html" || type == "application/xhtml+xml";
    const std::string start = lower_text(trim(body.substr(0, 512)));
    return start.starts_with("<!doctype html") || start.starts_with("<html");
}

} // namespace crawl
