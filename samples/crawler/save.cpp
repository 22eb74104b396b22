// SPDX-License-Identifier: Apache-2.0
#include "save.hpp"

#include "url.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <system_error>

namespace crawl {
namespace {

constexpr std::size_t longest_name = 180;

/// FNV-1a: the same for the same URL in every run.
std::string hash_of(std::string_view text) {
    std::uint64_t hash = 14695981039346656037U;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016lx", static_cast<unsigned long>(hash));
    return std::string(digits.data(), 12);
}

bool harmless(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.~+=,@!()&;").find(c) != std::string_view::npos || static_cast<unsigned char>(c) >= 0x80;
}

std::string file_name(std::string_view segment) {
    const std::string plain = percent_decode(segment);
    const bool only_dots = plain.find_first_not_of('.') == std::string::npos;
    std::string out;
    for (const char c : plain) {
        if (harmless(c) && !(only_dots && c == '.')) {
            out += c;
        } else {
            std::array<char, 4> escape{};
            std::snprintf(escape.data(), escape.size(), "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
            out += escape.data();
        }
    }
    if (out.size() > longest_name) out = out.substr(0, longest_name - 13) + "~" + hash_of(plain);
    return out;
}

} // namespace

std::filesystem::path save_path(std::string_view url) {
    const auto parts = split_url(url);
    std::string site(parts.site);
    for (char& c : site)
        if (c == ':' || c == '[' || c == ']') c = '_';
    std::filesystem::path out = file_name(site);

    auto rest = parts.path.substr(1);
    for (auto slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
        out /= slash == 0 ? std::string("%2F") : file_name(rest.substr(0, slash));
        rest.remove_prefix(slash + 1);
    }
    std::string last = rest.empty() ? "index.html" : std::string(rest);
    if (!parts.query.empty()) last += "@" + std::string(parts.query.substr(1));
    return out / file_name(last);
}

page_store::page_store(std::filesystem::path directory) : directory_(std::move(directory)) {
    std::filesystem::create_directories(directory_);
}

/// The path for a URL, its directories made; with a hash where the plain one is taken.
std::filesystem::path page_store::place(std::string_view url) {
    const auto plain = save_path(url);
    auto at = directory_;
    auto segment = plain.begin();
    for (auto next = std::next(segment); next != plain.end(); segment = next++) {
        auto folder = at / *segment;
        std::error_code ignored;
        std::filesystem::create_directory(folder, ignored);
        if (!std::filesystem::is_directory(folder)) { // A page of that name is there already.
            folder += "~" + hash_of(folder.native());
            std::filesystem::create_directory(folder);
        }
        at = folder;
    }
    auto file = at / *segment;
    const auto [owner, fresh] = owners_.try_emplace(file.native(), url);
    const bool taken = (!fresh && owner->second != url) || std::filesystem::is_directory(file);
    if (taken) file += "~" + hash_of(url);
    return file;
}

std::filesystem::path page_store::save(std::string_view url, std::string_view body) {
    const auto file = place(url);
    auto unfinished = file;
    unfinished += "~part";
    {
        std::ofstream out(unfinished, std::ios::binary | std::ios::trunc);
        out.write(body.data(), static_cast<std::streamsize>(body.size()));
        out.close();
        if (!out) throw std::system_error(errno, std::generic_category(), "cannot write " + unfinished.string());
    }
    std::filesystem::rename(unfinished, file);
    return file;
}

} // namespace crawl
