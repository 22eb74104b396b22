// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <CLI/CLI.hpp>

#include <utility>

namespace samples {

struct options::parser {
    CLI::App app;
};

options::options(const std::string& about, const std::string& name) : parser_(new parser{CLI::App(about, name)}) {}
options::~options() = default;

void options::text(const std::string& name, std::string& value, const std::string& help) {
    parser_->app.add_option(name, value, help)->capture_default_str();
}

void options::required_text(const std::string& name, std::string& value, const std::string& help) {
    parser_->app.add_option(name, value, help)->required();
}

void options::folder(const std::string& name, std::string& value, const std::string& help) {
    parser_->app.add_option(name, value, help)->capture_default_str()->check(CLI::ExistingDirectory);
}

void options::flag(const std::string& name, bool& value, const std::string& help) { parser_->app.add_flag(name, value, help); }

void options::add_number(const std::string& name, std::int64_t standard, const std::string& help, std::int64_t least, std::int64_t most,
                         std::function<void(std::int64_t)> set) {
    parser_->app.add_option_function<std::int64_t>(name, std::move(set), help)
        ->default_str(std::to_string(standard))
        ->check(CLI::Range(least, most));
}

void options::needs(const std::string& name, const std::string& other) {
    parser_->app.get_option(name)->needs(parser_->app.get_option(other));
}

std::optional<int> options::parse(int argc, char** argv) {
    try {
        parser_->app.parse(argc, argv);
        return std::nullopt;
    } catch (const CLI::ParseError& e) {
        return parser_->app.exit(e);
    }
}

bool options::given(const std::string& name) const { return parser_->app.count(name) > 0; }

} // namespace samples
