// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>

namespace crawl {

/// Where below the --save directory a URL's body goes: "host_8080/dir/page.html@query". Never outside of it, whatever
/// the URL says: each segment is decoded, then everything but harmless characters is escaped again as %XX, "." and ".."
/// included; a segment that is too long for a file name is cut and gets a hash. A directory's page is "index.html".
///
/// Two different URLs may want one path (a "/x" and a "/x/"): see page_store.
std::filesystem::path save_path(std::string_view url);

/// Writes bodies below a directory, each to a path of its own.
class page_store {
public:
    /// Creates the directory. Throws std::filesystem::filesystem_error.
    explicit page_store(std::filesystem::path directory);

    /// Writes a body, atomically: under another name first. Where a file stands in the way of a directory or the other way
    /// round, or another URL already has the path, a hash of the URL is added to the name, so that the same URL always finds the same
    /// place again. Throws std::system_error when it cannot be written.
    std::filesystem::path save(std::string_view url, std::string_view body);

    /// This URL's body was saved by the crawl that this one resumes: its path is taken.
    void remember(std::string_view url) { place(url); }

private:
    std::filesystem::path place(std::string_view url);

    std::filesystem::path directory_;
    std::unordered_map<std::string, std::string> owners_; // path to URL
};

} // namespace crawl
