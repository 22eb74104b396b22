// SPDX-License-Identifier: Apache-2.0
#include "journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <unordered_set>

namespace crawl {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
    throw std::system_error(errno, std::generic_category(), what + " " + path);
}

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        if (errno == ENOENT) return {};
        fail("cannot read", path);
    }
    std::ostringstream out;
    out << in.rdbuf();
    if (in.bad()) fail("cannot read", path);
    return out.str();
}

std::string words_path(const std::string& rows_path) {
    return rows_path + ".crawl";
}

} // namespace

journal::journal(const std::string& path, start how) : path_(path) {
    if (path == "-") {
        fd_ = ::dup(STDOUT_FILENO);
        if (fd_ < 0) fail("cannot write to", "the standard output");
        return;
    }
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0) fail("cannot write to", path);
    struct stat status {};
    if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) return;
    try {
        if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            throw std::runtime_error(path + " is in use by another crawler");
        off_t keep = 0;
        if (how == start::goes_on) {
            const auto text = read_file(path);
            const auto end = text.rfind('\n');
            keep = end == std::string::npos ? 0 : static_cast<off_t>(end + 1);
        }
        if (::ftruncate(fd_, keep) != 0) fail("cannot write to", path);
    } catch (...) {
        ::close(fd_);
        throw;
    }
}

journal::~journal() {
    ::close(fd_);
}

void journal::write(const record& row) {
    write_all(to_json_line(row) + "\n");
}

void journal::write_all(std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(fd_, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail("cannot write to", path_ == "-" ? "the standard output" : path_);
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

past_rows read_rows(const std::string& path) {
    past_rows out;
    const auto text = read_file(path);
    std::unordered_set<std::string> seen;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at);
        if (end == std::string::npos) break; // Torn: the row's page will be fetched again.
        auto row = from_json_line(std::string_view(text).substr(at, end - at));
        at = end + 1;
        if (!row) ++out.skipped;
        else if (seen.insert(row->url).second) out.rows.push_back(std::move(*row));
    }
    return out;
}

void write_words(const std::string& rows_path, const std::vector<std::string>& words) {
    const auto path = words_path(rows_path);
    std::ofstream out(path, std::ios::trunc);
    out << nlohmann::json(words).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    out.close();
    if (!out) fail("cannot write to", path);
}

std::vector<std::string> read_words(const std::string& rows_path) {
    const auto text = read_file(words_path(rows_path));
    if (text.empty()) return {};
    try {
        return nlohmann::json::parse(text).get<std::vector<std::string>>();
    } catch (const nlohmann::json::exception&) {
        return {};
    }
}

void remove_words(const std::string& rows_path) noexcept {
    std::error_code ignored;
    std::filesystem::remove(words_path(rows_path), ignored);
}

} // namespace crawl
