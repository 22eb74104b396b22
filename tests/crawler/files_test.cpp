// SPDX-License-Identifier: Apache-2.0
// Files that a crawl writes: rows that survive a crash, bodies that stay below their directory.
#include "journal.hpp"
#include "save.hpp"

#include <catch2/catch.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;
using crawl::save_path;

namespace {

/// A directory of its own that goes with the test.
struct scratch {
    fs::path path;
    scratch() {
        std::string name = (fs::temp_directory_path() / "crawler-test-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
        path = name;
    }
    ~scratch() { fs::remove_all(path); }
    std::string operator/(const char* name) const { return (path / name).string(); }
};

std::string content(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

crawl::record row(const std::string& url) {
    crawl::record out;
    out.url = url;
    return out;
}

} // namespace

TEST_CASE("rows_are_appended_and_a_torn_line_is_cut_off") {
    const scratch dir;
    const auto path = dir / "rows";
    {
        crawl::journal rows(path, crawl::journal::start::empty);
        rows.write(row("http://h/1"));
        rows.write(row("http://h/2"));
    }
    std::ofstream(path, std::ios::app) << R"({"url":"http://h/3","sta)";
    CHECK(crawl::read_rows(path).rows.size() == 2);
    {
        crawl::journal rows(path, crawl::journal::start::goes_on);
        rows.write(row("http://h/3"));
    }
    const auto read = crawl::read_rows(path);
    REQUIRE(read.rows.size() == 3);
    CHECK(read.rows[2].url == "http://h/3");
    CHECK(read.skipped == 0);
    crawl::journal again(path, crawl::journal::start::empty);
    CHECK(fs::file_size(path) == 0);
}

TEST_CASE("odd_row_files_are_read_as_far_as_they_go") {
    const scratch dir;
    CHECK(crawl::read_rows(dir / "missing").rows.empty());
    std::ofstream(dir / "odd") << "rubbish\n"
                               << crawl::to_json_line(row("http://h/1")) << "\n"
                               << crawl::to_json_line(row("http://h/1")) << "\n";
    const auto read = crawl::read_rows(dir / "odd");
    CHECK(read.rows.size() == 1);
    CHECK(read.skipped == 1);
    CHECK_THROWS_AS(crawl::journal(dir / "no/such/dir", crawl::journal::start::empty), std::system_error);
}

TEST_CASE("two_crawls_do_not_share_a_file") {
    const scratch dir;
    const crawl::journal first(dir / "rows", crawl::journal::start::empty);
    CHECK_THROWS_AS(crawl::journal(dir / "rows", crawl::journal::start::goes_on), std::runtime_error);
}

TEST_CASE("a_full_disk_is_an_error") {
    crawl::journal rows("/dev/full", crawl::journal::start::empty);
    CHECK_THROWS_AS(rows.write(row("http://h/")), std::system_error);
}

TEST_CASE("the_command_line_is_kept_for_the_resume") {
    const scratch dir;
    CHECK(crawl::read_words(dir / "rows").empty());
    const std::vector<std::string> words{"--exclude", "a b\n\"c\"", "http://h/"};
    crawl::write_words(dir / "rows", words);
    CHECK(crawl::read_words(dir / "rows") == words);
    crawl::remove_words(dir / "rows");
    CHECK(crawl::read_words(dir / "rows").empty());
}

TEST_CASE("paths_follow_the_url") {
    CHECK(save_path("http://h/") == "h/index.html");
    CHECK(save_path("http://h:81/a/b.html") == "h_81/a/b.html");
    CHECK(save_path("http://h/a/") == "h/a/index.html");
    CHECK(save_path("http://h/a?b=c/d") == "h/a@b=c%2Fd");
    CHECK(save_path("http://h/a%20b%C3%A4") == "h/a%20b\xc3\xa4");
}

TEST_CASE("no_url_leaves_the_directory") {
    for (const auto* url :
         {"http://h/%2e%2e/%2e%2e/etc/passwd", "http://h/..%2f..%2fetc/passwd", "http://h//etc/passwd", "http://h/a/..",
          "http://h/%2e", "http://h/a%00b", "http://h/a%0Ab", "http://../x", "http://h/?../../x", "http://h/.../x"}) {
        INFO(url);
        const auto path = save_path(url);
        CHECK(path.is_relative());
        CHECK(path.lexically_normal() == path);
        for (const auto& part : path) {
            CHECK(part != "..");
            CHECK(part != ".");
            CHECK(part.native().find('/') == std::string::npos);
            CHECK(part.native().find('\0') == std::string::npos);
        }
    }
    const auto longest = save_path("http://h/" + std::string(5000, 'x') + "?" + std::string(5000, 'y'));
    for (const auto& part : longest) CHECK(part.native().size() <= 200);
    CHECK(save_path("http://h/" + std::string(5000, 'x')) != save_path("http://h/" + std::string(5001, 'x')));
}

TEST_CASE("colliding_pages_each_get_a_place") {
    const scratch dir;
    crawl::page_store store(dir.path / "pages");
    const std::vector<std::string> urls{"http://h/a", "http://h/a/b",        "http://h/a/b/c",
                                        "http://h/",  "http://h/index.html", "http://h/x/y",
                                        "http://h/x", "http://h/q?1",        "http://h/q@1"};
    std::vector<fs::path> paths;
    for (const auto& url : urls) paths.push_back(store.save(url, url));
    for (std::size_t i = 0; i < urls.size(); ++i) {
        INFO(urls[i]);
        CHECK(content(paths[i]) == urls[i]);
    }
    CHECK(store.save("http://h/a/b", "again") == paths[1]);
    CHECK(content(paths[1]) == "again");
    crawl::page_store later(dir.path / "pages");
    for (const auto& url : urls) later.remember(url);
    for (std::size_t i = 0; i < urls.size(); ++i) CHECK(later.save(urls[i], "x") == paths[i]);
}
