// SPDX-License-Identifier: Apache-2.0
#include "rows.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <system_error>

namespace crawl {
namespace {

bool ordinary_file(const std::string& path) {
    if (path.empty() || path == "-") return false;
    return !std::filesystem::exists(path) || std::filesystem::is_regular_file(path);
}

bool same_file(const std::string& a, const std::string& b) {
    std::error_code missing;
    return std::filesystem::weakly_canonical(a, missing) == std::filesystem::weakly_canonical(b, missing);
}

std::string make_temporary() {
    std::string path = (std::filesystem::temp_directory_path() / "crawler-XXXXXX.jsonl").string();
    const int fd = ::mkstemps(path.data(), 6);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "cannot write to " + path);
    ::close(fd);
    return path;
}

} // namespace

row_files::row_files(const options& from) {
    open_resume_file(from);
    write_words(resume_path_, from.words);
    if (from.output.empty() || same_file(from.output, resume_path_)) return;
    files_.push_back(std::make_unique<journal>(from.output, journal::start::empty));
    for (const auto& row : past_.rows) files_.back()->write(row);
}

row_files::~row_files() {
    const bool nothing_lost = complete_ || (temporary_ && !written_);
    if (nothing_lost) remove_words(resume_path_);
    std::error_code ignored;
    if (nothing_lost && temporary_) std::filesystem::remove(resume_path_, ignored);
}

void row_files::open_resume_file(const options& from) {
    auto how = journal::start::empty;
    if (!from.resume.empty()) {
        resume_path_ = from.resume;
        how = journal::start::goes_on;
        past_ = read_rows(resume_path_);
        if (past_.skipped)
            std::cerr << "crawler: " << past_.skipped << " lines of " << resume_path_ << " are no rows\n";
    } else if (ordinary_file(from.output)) {
        resume_path_ = from.output;
        if (!read_words(resume_path_).empty() && !read_rows(resume_path_).rows.empty()) {
            std::filesystem::rename(resume_path_, resume_path_ + "~");
            std::cerr << "crawler: " << resume_path_ << " held an unfinished crawl, which is now " << resume_path_
                      << "~\n";
        }
    } else {
        resume_path_ = make_temporary();
        temporary_ = true;
    }
    files_.push_back(std::make_unique<journal>(resume_path_, how));
}

void row_files::write(const record& row) {
    for (const auto& file : files_) file->write(row);
    written_ = true;
}

} // namespace crawl
