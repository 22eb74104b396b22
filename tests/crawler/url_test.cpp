// SPDX-License-Identifier: Apache-2.0
#include "url.hpp"

#include <catch2/catch.hpp>

#include <clocale>

using crawl::parse_url;
using crawl::resolve_url;

namespace {
const std::string none = "(none)";
std::string parsed(std::string_view text) {
    return parse_url(text).value_or(none);
}
std::string resolved(std::string_view base, std::string_view text) {
    return resolve_url(base, text).value_or(none);
}
} // namespace

TEST_CASE("rfc_3986_reference_resolution") {
    // Section 5.4 of the RFC, without fragments and with the lax scheme rule that browsers keep.
    const std::pair<const char*, const char*> cases[] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"http:g", "http://a/b/c/g"},
    };
    for (const auto& [reference, expected] : cases) {
        INFO(reference);
        CHECK(resolved("http://a/b/c/d;p?q", reference) == expected);
    }
}

TEST_CASE("urls_of_one_page_are_spelt_one_way") {
    CHECK(parsed("HTTP://ExAmple.COM:80") == "http://example.com/");
    CHECK(parsed("https://example.com:443/") == "https://example.com/");
    CHECK(parsed("https://example.com:80/") == "https://example.com:80/");
    CHECK(parsed("http://h/%7euser/%2f%2F/%41") == "http://h/~user/%2F%2F/A");
    CHECK(parsed("http://h/a/%2e%2E/b/%2e/c") == "http://h/b/c");
    CHECK(parsed("http://h/a b?c d") == "http://h/a%20b?c%20d");
    CHECK(parsed("http://h/\xc3\xa4?\xc3\xb6") == "http://h/%C3%A4?%C3%B6");
    CHECK(parsed("http://h/50%off") == "http://h/50%off");
    CHECK(parsed("http://h/a//b") == "http://h/a//b");
    CHECK(parsed("http://h?x=1") == "http://h/?x=1");
    CHECK(parsed("http://h/p?") == "http://h/p");
    CHECK(parsed("http://u:p@H/") == "http://u:p@h/");
    CHECK(parsed("http://[::1]:8080/x") == "http://[::1]:8080/x");
    CHECK(parsed("http:\\\\h\\a\\b?c\\d") == "http://h/a/b?c%5Cd");
    for (const auto* again : {"http://h/a%20b?c%20d", "http://h/~user/%2F%2F/A", "http://h/50%off", "http://h/a|b^c"})
        CHECK(parsed(parsed(again)) == parsed(again));
}

TEST_CASE("references_are_cleaned_as_browsers_do") {
    CHECK(resolved("http://h/d/", "  x.html \r\n") == "http://h/d/x.html");
    CHECK(resolved("http://h/d/", "x\n\t.ht\rml") == "http://h/d/x.html");
    CHECK(resolved("http://h/d/", "ht\ntp://g/x") == "http://g/x");
    CHECK(resolved("http://h/d/", "\\x\\y") == "http://h/x/y");
    CHECK(resolved("http://h/d/", "\\\\g\\y") == "http://g/y");
    CHECK(resolved("http://h/d/", " ") == "http://h/d/");
    CHECK(resolved("http://h/d?a=1/2", "x") == "http://h/x");
    CHECK(resolved("https://h/d/", "//g/x") == "https://g/x");
    CHECK(resolved("http://u:p@h/d/", "x") == "http://u:p@h/d/x");
    CHECK(resolved("http://h/d/", "./1:2") == "http://h/d/1:2");
    CHECK(resolved("http://h/d/", "1:2") == "http://h/d/1:2");
    CHECK(resolved("http://h/d/", "x?a:b") == "http://h/d/x?a:b");
    CHECK(resolved("http://h/d/", "x/a:b") == "http://h/d/x/a:b");
}

TEST_CASE("what_is_not_http_is_no_url") {
    for (const auto* text :
         {"mailto:a@b", "javascript:void(0)", "data:text/html,<a href=x>", "ftp://h/x", "file:///etc/passwd",
          "tel:+49123", "about:blank", "JavaScript:alert(1)", "https:x"}) {
        INFO(text);
        CHECK(resolved("http://h/", text) == none);
    }
    for (const auto* text : {"", "h/x", "http://", "http://h:99999/", "http://h:x/", "http://a b/", "//h/x"}) {
        INFO(text);
        CHECK(parsed(text) == none);
    }
}

TEST_CASE("international_host_names_are_punycode") {
    REQUIRE(std::setlocale(LC_CTYPE, "C.UTF-8"));
    CHECK(
        parsed("http://B\xc3\xbc"
               "cher.example/") == "http://xn--bcher-kva.example/");
}

TEST_CASE("an_argument_needs_no_scheme") {
    CHECK(crawl::parse_url_argument("example.org/x") == "http://example.org/x");
    CHECK(crawl::parse_url_argument("localhost:8080") == "http://localhost:8080/");
    CHECK(crawl::parse_url_argument("https://example.org") == "https://example.org/");
    CHECK_FALSE(crawl::parse_url_argument("ftp://example.org/"));
    CHECK_FALSE(crawl::parse_url_argument(""));
}

TEST_CASE("a_url_is_split_into_its_parts") {
    const auto parts = crawl::split_url("http://u:p@h:81/a/b?c=d/e");
    CHECK(parts.scheme == "http");
    CHECK(parts.site == "h:81");
    CHECK(parts.path == "/a/b");
    CHECK(parts.query == "?c=d/e");
    CHECK(crawl::origin_of("http://u:p@h:81/a/b") == "http://h:81");
    CHECK(crawl::origin_of("https://h/") == "https://h");
    CHECK(crawl::percent_decode("a%2fb%zz%4") == "a/b%zz%4");
}
