// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace crawl {

/// A file of rows that only grows: --output and --resume. Each row goes out in one write, so that whatever ends the
/// process leaves whole rows and at most one torn last line.
class journal {
public:
    enum class start {
        empty,   ///< whatever the file held is gone
        goes_on, ///< keeps its rows, cuts a torn last line off
    };

    /// Opens or creates; "-" is the standard output. Throws std::system_error, std::runtime_error when another crawl has it.
    journal(const std::string& path, start how);
    ~journal();
    journal(const journal&) = delete;
    journal& operator=(const journal&) = delete;

    /// Appends one row. Throws std::system_error when it cannot be written.
    void write(const record& row);

    const std::string& path() const { return path_; }

private:
    void write_all(std::string_view text);

    std::string path_;
    int fd_ = -1;
};

/// What an unfinished crawl has written.
struct past_rows {
    std::vector<record> rows;
    std::size_t skipped = 0; ///< lines in the middle that are no rows; a torn last line is not counted
};

/// Reads a file of rows; a missing file has none. A URL that occurs twice counts once. Throws std::system_error when it cannot be read.
past_rows read_rows(const std::string& path);

/// The words of the command line of an unfinished crawl are kept beside its rows, in "<rows>.crawl", so that resuming needs nothing else.
/// Each returns or throws as its name says; a missing file has no words.
void write_words(const std::string& rows_path, const std::vector<std::string>& words);
std::vector<std::string> read_words(const std::string& rows_path);
void remove_words(const std::string& rows_path) noexcept;

} // namespace crawl
