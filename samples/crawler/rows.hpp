// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "journal.hpp"
#include "options.hpp"

#include <memory>
#include <string>
#include <vector>

namespace crawl {

/// Where a crawl's rows go: the --output, and the file from which --resume goes on. That is the --resume file, or else the
/// --output, or else (there is none, or it is no ordinary file) a temporary file that only stays when the crawl is interrupted.
class row_files {
public:
    /// Opens them all and reads what an earlier run wrote. An --output that is not the --resume file gets those rows too. An
    /// unfinished crawl that a new one would overwrite is kept as "<file>~". Throws std::runtime_error.
    explicit row_files(const options& from);

    /// Keeps what --resume needs, unless complete() was called or there is nothing to resume.
    ~row_files();
    row_files(const row_files&) = delete;
    row_files& operator=(const row_files&) = delete;

    /// The rows of the crawl that is resumed.
    const std::vector<record>& past() const { return past_.rows; }

    /// Writes a row to all of them. Throws std::system_error.
    void write(const record& row);

    /// The crawl is complete: nobody will resume it.
    void complete() { complete_ = true; }

    /// What --resume takes.
    const std::string& resume_path() const { return resume_path_; }

private:
    void open_resume_file(const options& from);

    past_rows past_;
    std::vector<std::unique_ptr<journal>> files_;
    std::string resume_path_;
    bool temporary_ = false;
    bool complete_ = false;
    bool written_ = false;
};

} // namespace crawl
