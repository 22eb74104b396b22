// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace samples {

/// The command line of a small program: CLI11, compiled once for all of them.
///
///     samples::options o("Counts.", "count");
///     int rounds = 1000;
///     o.number("--rounds", rounds, "How many", 0, 1'000'000);
///     if (const auto status = o.parse(argc, argv)) return *status;
class options {
public:
    options(const std::string& about, const std::string& name);
    ~options();
    options(const options&) = delete;
    options& operator=(const options&) = delete;

    /// A name without dashes is an argument by its place.
    void text(const std::string& name, std::string& value, const std::string& help);
    void required_text(const std::string& name, std::string& value, const std::string& help);
    void folder(const std::string& name, std::string& value, const std::string& help);
    void flag(const std::string& name, bool& value, const std::string& help);
    template <std::integral N>
    void number(const std::string& name, N& value, const std::string& help, std::int64_t least, std::int64_t most) {
        add_number(name, static_cast<std::int64_t>(value), help, least, most, [&value](std::int64_t n) { value = static_cast<N>(n); });
    }
    /// `name` means nothing without `other`.
    void needs(const std::string& name, const std::string& other);

    /// The status to end with: after --help, or a mistake, which has been told. Else nothing, and the values are set.
    [[nodiscard]] std::optional<int> parse(int argc, char** argv);
    /// Whether it stood on the command line.
    [[nodiscard]] bool given(const std::string& name) const;

private:
    void add_number(const std::string& name, std::int64_t standard, const std::string& help, std::int64_t least, std::int64_t most,
                    std::function<void(std::int64_t)> set);

    struct parser;
    std::unique_ptr<parser> parser_;
};

} // namespace samples
