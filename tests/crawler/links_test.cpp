// SPDX-License-Identifier: Apache-2.0
#include "links.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using links = std::vector<std::string>;

namespace {
links of(std::string_view html, std::string_view charset = {}, bool obey_nofollow = true) {
    return crawl::extract_links(html, "http://h/d/p.html", charset, {.obey_nofollow = obey_nofollow});
}
} // namespace

TEST_CASE("every_kind_of_link_is_found") {
    CHECK(
        of(R"(<a href=a><area href='b'><frame src="c"><iframe src=d></iframe><link rel=next href=e><img src=f>)"
           R"(<script src=g></script><embed src=h><object data=i></object><video src=j poster=k></video><source src=l>)"
           R"(<table background=m><tr><td background=n></table>)") ==
        links{
            "http://h/d/a", "http://h/d/b", "http://h/d/c", "http://h/d/d", "http://h/d/e", "http://h/d/f",
            "http://h/d/g", "http://h/d/h", "http://h/d/i", "http://h/d/j", "http://h/d/k", "http://h/d/l",
            "http://h/d/m", "http://h/d/n"});
    CHECK(
        of(R"(<img src=a srcset="b 1x, c 2x,d">)") ==
        links{"http://h/d/a", "http://h/d/b", "http://h/d/c", "http://h/d/d"});
    CHECK(of(R"(<meta http-equiv=Refresh content="5; URL='/next'">)") == links{"http://h/next"});
    CHECK(of(R"(<A HREF="x">upper</A>)") == links{"http://h/d/x"});
}

TEST_CASE("what_only_looks_like_a_link_is_not_taken") {
    CHECK(of("<!-- <a href=comment> --><a href=real>") == links{"http://h/d/real"});
    CHECK(of("<script>var x = '<a href=\"script\">';</script><style>a{background:url(css)}</style>").empty());
    CHECK(of("<form action=send><input name=x></form><a name=anchor></a><p href=x data=y>").empty());
    CHECK(of("<a href='mailto:x@y'><a href='javascript:go()'><a href='data:text/html,x'>").empty());
    CHECK(of("<link rel=preconnect href=//cdn><link rel='dns-prefetch' href=//cdn>").empty());
    CHECK(of("<img src=''><a>").empty());
    CHECK(of("<textarea><a href=x></textarea>").size() <= 1);
    CHECK(of("").empty());
}

TEST_CASE("each_link_once_without_its_fragment") {
    CHECK(
        of("<a href=a#1><a href=./a#2><a href='http://H:80/d/a'><a href='#top'>") ==
        links{"http://h/d/a", "http://h/d/p.html"});
}

TEST_CASE("entities_in_links_are_resolved") {
    CHECK(of("<a href='x?a=1&amp;b=2'><a href='x?c&#x3D;3'>") == links{"http://h/d/x?a=1&b=2", "http://h/d/x?c=3"});
}

TEST_CASE("the_first_base_decides_for_the_whole_document") {
    CHECK(
        of("<a href=before><base href='/other/'><a href=after><base href='/third/'>") ==
        links{"http://h/other/before", "http://h/other/after"});
    CHECK(of("<base href='http://g/x/y'><a href=z>") == links{"http://g/x/z"});
    CHECK(of("<base target=_top><a href=z>") == links{"http://h/d/z"});
    CHECK(of("<base href='mailto:x'><a href=z>") == links{"http://h/d/z"});
}

TEST_CASE("nofollow_is_obeyed_when_asked") {
    const auto* html = "<a rel='external NoFollow' href=a><a rel=nofollower href=b>";
    CHECK(of(html) == links{"http://h/d/b"});
    CHECK(of(html, {}, false).size() == 2);
    const auto* page = "<a href=a><meta name=ROBOTS content='noindex, nofollow'><a href=b>";
    CHECK(of(page).empty());
    CHECK(of(page, {}, false).size() == 2);
    CHECK(of("<meta name=robots content=none><a href=a>").empty());
}

TEST_CASE("characters_outside_ascii_become_utf8_escapes") {
    const links umlaut{"http://h/d/%C3%A4"};
    CHECK(of("<a href='\xc3\xa4'>", "utf-8") == umlaut);
    CHECK(of("<a href='\xe4'>", "iso-8859-1") == umlaut);
    CHECK(of("<meta charset=utf-8><a href='\xc3\xa4'>") == umlaut);
    CHECK(of("<a href='&auml;'>") == umlaut);
    CHECK(of("<a href='plain'>", "no-such-charset") == links{"http://h/d/plain"});
}

TEST_CASE("broken_html_gives_what_it_can") {
    CHECK(of("<a href=a><b><a href='b'</b><a href=c").size() >= 2);
    CHECK(of("<a href='unfinished").size() <= 1);
    CHECK(of(std::string("<a href=a>\0<a href=b>", 21)).size() >= 1);
    std::string deep;
    for (int i = 0; i < 20'000; ++i) deep += "<div><b>";
    deep += "<a href=end>";
    CHECK(of(deep).size() <= 1);
    std::string noise(100'000, '\0');
    std::uint32_t state = 1;
    for (char& c : noise) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    CHECK_NOTHROW(of(noise));
}

TEST_CASE("a_large_page_is_read_to_its_end") {
    std::string page;
    for (int i = 0; i < 20'000; ++i) page += "<p>some text <a href=\"page-" + std::to_string(i) + ".html\">link</a>\n";
    const auto found = of(page);
    REQUIRE(found.size() == 20'000);
    CHECK(found.back() == "http://h/d/page-19999.html");
}

TEST_CASE("content_types_are_parsed") {
    CHECK(crawl::parse_content_type("Text/HTML; Charset=\"UTF-8\"").type == "text/html");
    CHECK(crawl::parse_content_type("Text/HTML; Charset=\"UTF-8\"").charset == "utf-8");
    CHECK(crawl::parse_content_type("text/plain").charset.empty());
    CHECK(crawl::parse_content_type("").type.empty());
    CHECK(crawl::is_html("text/html", ""));
    CHECK(crawl::is_html("application/xhtml+xml", ""));
    CHECK_FALSE(crawl::is_html("text/plain", "<html>"));
    CHECK(crawl::is_html("", "\n <!DOCTYPE HTML>"));
    CHECK_FALSE(crawl::is_html("", "plain"));
}
