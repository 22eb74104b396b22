// SPDX-License-Identifier: Apache-2.0
#include "plan.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>

namespace site {
namespace {

constexpr std::size_t children = 32; // Of each page: 1,000 pages are three levels.

/// A number that depends on two others and looks like chance.
std::size_t mixed(std::size_t a, std::size_t b) {
    std::uint64_t x = a * 0x9e3779b97f4a7c15U + b + 0x632be59bd9b4e019U;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31U);
}

reply redirect(int status, std::string location) {
    return {.status = status, .body = "<a href=/never/from-redirect>moved</a>", .location = std::move(location)};
}

reply html(int status, std::string body) {
    return {.status = status, .body = std::move(body)};
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) out += c == '&' ? std::string("&amp;") : std::string(1, c);
    return out;
}

/// One link in one of the many ways in which pages spell it. `to` begins with a slash, `up` leads to the root.
std::string spelt(const std::string& to, std::size_t way, std::string_view up, std::string_view host) {
    switch (way % 7) {
    case 0: return "<a href=\"" + escaped(to) + "\">";
    case 1: return "<a href='" + escaped(to) + "#part'>";
    case 2: return "<A HREF=\"http://" + std::string(host) + escaped(to) + "\">";
    case 3: return "<a href=\"/x/./../" + escaped(to.substr(1)) + "\">";
    case 4: return "<a class=x href=\" " + escaped(to) + "\n\">";
    case 5: return "<a href=\"" + std::string(up) + escaped(to.substr(1)) + "\">";
    default: return "<a href=\"//" + std::string(host) + escaped(to) + "\">";
    }
}

} // namespace

plan::plan(plan_options options) : options_(options) {
    for (std::size_t i = 0; i < options_.pages; ++i) page_at_.emplace(page_path(i), i);
    add("rules", "/robots.txt", {.type = "text/plain", .body = "User-agent: *\nDisallow: /private/\n"});
    if (options_.plain) return;
    add_redirects();
    add_failures();
    for (int i = 0; i < 5; ++i) {
        const auto n = std::to_string(i);
        add("files", "/data/" + n + ".txt",
            {.type = "text/plain", .body = "<a href=/never/in-text-" + n + ">no link</a>"});
        add("refused", "/private/" + n + ".html", html(200, "<a href=/never/private>secret</a>"));
        add("slow", "/slow/" + n + ".html", {.body = "<a href=/>slow</a>", .delay = options_.slow_delay});
    }
    add("files", "/data/huge.bin", {.type = "application/octet-stream", .body = std::string(2'000'000, 'x')});
}

void plan::add(std::string kind, std::string path, reply says) {
    const auto index = extras_.size();
    extra_at_.emplace(path, index);
    for (const auto page : {mixed(index, 1) % options_.pages, mixed(index, 2) % options_.pages}) {
        auto& on = extras_on_[page];
        if (kind != "rules" && kind != "behind" && std::find(on.begin(), on.end(), index) == on.end())
            on.push_back(index);
    }
    extras_.push_back({std::move(path), std::move(kind), std::move(says)});
}

void plan::add_redirects() {
    constexpr int statuses[] = {301, 302, 303, 307, 308};
    for (std::size_t i = 0; i < 50; ++i) {
        const auto to = page_path(mixed(i, 3) % options_.pages);
        add("redirects", "/moved/" + std::to_string(i), redirect(statuses[i % 5], i % 3 ? to : "/x/.." + to));
    }
    add("redirects", "/chain/1", redirect(302, "2"));
    add("redirects", "/chain/2", redirect(302, "/chain/3?last=1"));
    add("redirects", "/chain/3?last=1", redirect(301, "/"));
    add("redirects", "/loop/a", redirect(302, "/loop/b"));
    add("redirects", "/loop/b", redirect(302, "/loop/a"));
    add("redirects", "/loop/self", redirect(302, "/loop/self#again"));
    add("redirects", "/moved/away", redirect(302, "http://elsewhere.invalid/"));
    add("redirects", "/moved/to-mail", redirect(302, "mailto:somebody@elsewhere.invalid"));
    add("redirects", "/moved/to-nothing", redirect(302, "/missing/behind-a-redirect"));
    add("behind", "/missing/behind-a-redirect", html(404, "nothing"));
}

void plan::add_failures() {
    for (std::size_t i = 0; i < 20; ++i) {
        const auto n = std::to_string(i);
        add("broken", "/missing/" + n + ".html",
            html(i % 4 == 3 ? 410 : 404, "<a href=/never/on-an-error-page>gone</a>"));
    }
    for (std::size_t i = 0; i < 4; ++i) {
        const auto n = std::to_string(i);
        add("failing", "/failing/error-" + n, html(500, "<a href=/never/on-an-error-page>failed</a>"));
        add("failing", "/failing/drop-" + n, {.goes = trouble::drop});
        add("failing", "/failing/cut-" + n,
            {.body = "<a href=/never/on-half-a-page>half</a>" + std::string(1000, '.'), .goes = trouble::cut});
        add("flaky", "/flaky/" + n, {.body = "<a href=/>at last</a>", .goes = trouble::flaky});
    }
}

std::string plan::page_path(std::size_t index) const {
    const auto n = std::to_string(index);
    if (index == 0) return "/";
    switch (index % 8) {
    case 3: return "/list?page=" + n + "&sort=up";
    case 5: return "/a%20dir/caf%C3%A9-" + n + ".html";
    case 7: return "/section-" + std::to_string(index / 100) + "/" + n + "/";
    default: return "/section-" + std::to_string(index / 100) + "/page-" + n + ".html";
    }
}

std::vector<std::string> plan::links_of(std::size_t index) const {
    std::vector<std::string> out;
    const auto n = options_.pages;
    for (std::size_t i = index * children + 1; i <= std::min(index * children + children, n - 1); ++i)
        out.push_back(page_path(i));
    for (std::size_t i = 0; i < 5; ++i) out.push_back(page_path(mixed(index, i + 10) % n));
    out.push_back(page_path((index + 1) % n));
    if (const auto on = extras_on_.find(index); on != extras_on_.end())
        for (const auto one : on->second) out.push_back(extras_[one].path);
    return out;
}

std::string plan::page_body(std::size_t index, std::string_view host) const {
    const auto title = "Page " + std::to_string(index);
    std::string out = "<!DOCTYPE html><html><head><meta charset=utf-8><title>" + title + "</title>";
    const bool with_base = index % 10 == 4;
    if (with_base) out += "<base href=\"/based/here/\">";
    out += "</head><body><h1>" + title + "</h1>\n<!-- <a href=\"/never/in-a-comment\">no</a> -->\n<ul>";
    std::string up = "./";
    const auto path = page_path(index);
    for (auto levels = with_base ? 2 : std::count(path.begin() + 1, path.end(), '/'); levels > 0; --levels) up += "../";
    std::size_t way = index;
    for (const auto& to : links_of(index)) out += "<li>" + spelt(to, way++, up, host) + escaped(to) + "</a>\n";
    out += "</ul>\n<a href=mailto:x@elsewhere.invalid>mail</a> <a "
           "href=\"javascript:void('/never/in-javascript')\">js</a>\n";
    if (index % 5 == 0) out += "<a href=\"http://elsewhere.invalid/page\">elsewhere</a>\n";
    out += "<script>var s = '<a href=\"/never/in-a-script\">';</script>\n<form action=/never/form></form><p>";
    for (std::size_t i = 0; i < 20 + mixed(index, 4) % 60; ++i) out += "Some words that fill the page, as pages are. ";
    return out + "</p></body></html>\n";
}

reply plan::answer(std::string_view target, std::string_view host) const {
    reply out = html(404, "not here");
    if (const auto page = page_at_.find(target); page != page_at_.end()) out = html(200, page_body(page->second, host));
    else if (const auto at = extra_at_.find(target); at != extra_at_.end()) out = extras_[at->second].says;
    out.delay += options_.delay;
    return out;
}

std::string plan::manifest() const {
    nlohmann::ordered_json out;
    out["pages"] = nlohmann::json::array();
    for (std::size_t i = 0; i < options_.pages; ++i) out["pages"].push_back(page_path(i));
    for (const auto* kind : {"broken", "slow", "failing", "flaky", "files", "refused"})
        out[kind] = nlohmann::json::array();
    out["redirects"] = nlohmann::json::object();
    out["linked_from"] = nlohmann::json::object();
    for (std::size_t i = 0; i < extras_.size(); ++i) {
        const auto& [path, kind, says] = extras_[i];
        if (kind == "rules") continue;
        if (kind == "redirects") {
            out[kind][path] = says.location;
            continue;
        }
        const bool broken = kind == "broken" || kind == "behind";
        out[broken ? "broken" : kind].push_back(path);
        if (!broken) continue;
        auto& sources = out["linked_from"][path] = nlohmann::json::array();
        if (kind == "behind") sources.push_back("/moved/to-nothing");
        for (const auto& [page, on] : extras_on_)
            if (std::find(on.begin(), on.end(), i) != on.end()) sources.push_back(page_path(page));
    }
    out["never"] = {"/never/"};
    out["delay_ms"] = options_.delay.count();
    return out.dump(1) + "\n";
}

} // namespace site
