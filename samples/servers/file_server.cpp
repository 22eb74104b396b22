// SPDX-License-Identifier: Apache-2.0
// Serves the files below a folder by HTTP/1.1: connections that stay open, requests one behind the other, ranges, entity tags.
#include "common.hpp"
#include "http.hpp"

#include <weft/errors.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr std::size_t piece = 64 * 1024;
constexpr std::chrono::seconds patience{20};

class open_file {
public:
    explicit open_file(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) { // never waits for a FIFO's writer
        if (fd_ < 0) throw http::refused{errno == EACCES ? 403 : 404};
        if (::fstat(fd_, &status_) != 0) throw http::refused{404};
    }
    open_file(const open_file&) = delete;
    open_file& operator=(const open_file&) = delete;
    ~open_file() { ::close(fd_); }
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] const struct stat& status() const { return status_; }
    [[nodiscard]] std::uint64_t size() const { return static_cast<std::uint64_t>(status_.st_size); }

private:
    int fd_;
    struct stat status_ {};
};

/// The name of this state of the file.
std::string tag_of(const open_file& f) {
    char text[64];
    std::snprintf(text, sizeof text, "\"%llx-%llx\"", static_cast<unsigned long long>(f.size()),
                  static_cast<unsigned long long>(f.status().st_mtim.tv_sec * 1'000'000'000 + f.status().st_mtim.tv_nsec));
    return text;
}

std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '&') out += "&amp;";
        else if (c == '<') out += "&lt;";
        else if (c == '"') out += "&quot;";
        else out += c;
    }
    return out;
}

std::string listing(const std::string& folder, const std::string& shown) {
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator i(folder, error), end; !error && i != end; i.increment(error))
        names.push_back(i->path().filename().string() + (i->is_directory(error) ? "/" : ""));
    std::sort(names.begin(), names.end());
    std::string page = "<!DOCTYPE html><title>" + escape(shown) + "</title><ul>";
    for (const std::string& n : names) page += "<li><a href=\"" + escape(n) + "\">" + escape(n) + "</a></li>";
    return page + "</ul>\n";
}

class file_server {
public:
    explicit file_server(std::string root) : root_(std::move(root)) {}
    void stop() { stopping_ = true; }

    void serve(weft::connection& client) {
        const int on = 1;
        ::setsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        try {
            while (const auto r = http::read_request(client, std::chrono::seconds(60), patience)) {
                const bool keep = r->keeps_alive() && !r->has_body() && !stopping_;
                if (!answer(client, *r, keep)) return;
            }
        } catch (const http::refused& x) {
            send_page(client, x.status, "", false, false);
        }
    }

private:
    /// Whether another request may follow.
    bool answer(weft::connection& client, const http::request& r, bool keep) {
        const bool head_only = r.method == "HEAD";
        if (r.method != "GET" && !head_only) return send_page(client, 405, "Allow: GET, HEAD\r\n", keep, false);
        try {
            return send_file(client, r, head_only, keep);
        } catch (const http::refused& x) {
            return send_page(client, x.status, "", keep, head_only);
        }
    }

    bool send_file(weft::connection& client, const http::request& r, bool head_only, bool keep) {
        std::string path = root_ + r.path;
        struct stat s{};
        if (::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode)) {
            if (!r.path.ends_with('/')) return send_page(client, 301, "Location: " + r.path + "/\r\n", keep, head_only);
            if (::access((path + "index.html").c_str(), F_OK) != 0) return send_text(client, listing(path, r.path), keep, head_only);
            path += "index.html";
        }
        const open_file file(path);
        if (!S_ISREG(file.status().st_mode)) throw http::refused{403};
        const std::string tag = tag_of(file), changed = http::date(file.status().st_mtim.tv_sec);
        std::string fields = "ETag: " + tag + "\r\nLast-Modified: " + changed + "\r\nAccept-Ranges: bytes\r\n";
        const std::string_view known = r.field("if-none-match");
        if (known == "*" || known.find(tag) != known.npos || (known.empty() && r.field("if-modified-since") == changed))
            return send_head(client, 304, fields, {}, keep);
        http::range part{0, file.size() - 1};
        int status = 200;
        const std::string_view only_if = r.field("if-range");
        if (only_if.empty() || only_if == tag || only_if == changed) {
            try {
                if (const auto wanted = http::parse_range(r.field("range"), file.size())) {
                    part = *wanted;
                    status = 206;
                    fields += "Content-Range: bytes " + std::to_string(part.first) + "-" + std::to_string(part.last) + "/" + std::to_string(file.size()) + "\r\n";
                }
            } catch (const http::refused& x) {
                return send_page(client, x.status, "Content-Range: bytes */" + std::to_string(file.size()) + "\r\n", keep, head_only);
            }
        }
        const std::uint64_t length = file.size() == 0 ? 0 : part.last - part.first + 1;
        fields += "Content-Type: " + std::string(http::type_of(path)) + "\r\nContent-Length: " + std::to_string(length) + "\r\n";
        return send_body(client, file, status, fields, part.first, head_only ? 0 : length, keep);
    }

    /// The first piece goes with the head.
    static bool send_body(weft::connection& client, const open_file& file, int status, const std::string& fields, std::uint64_t at, std::uint64_t left, bool keep) {
        std::string text = head(status, fields, keep);
        do {
            const std::size_t before = text.size();
            const std::size_t wanted = std::min<std::uint64_t>(left, piece);
            text.resize(before + wanted);
            const ssize_t n = wanted == 0 ? 0 : ::pread(file.fd(), text.data() + before, wanted, static_cast<off_t>(at));
            if (n < 0 || static_cast<std::size_t>(n) < wanted) return false; // it was cut meanwhile: the length that was promised cannot be kept
            client.write(text, patience);
            text.clear();
            at += wanted;
            left -= wanted;
        } while (left > 0);
        return keep;
    }

    static std::string head(int status, const std::string& fields, bool keep) {
        return "HTTP/1.1 " + std::to_string(status) + " " + std::string(http::reason(status)) + "\r\nDate: " + http::date(std::time(nullptr)) + "\r\n" + fields +
               (keep ? "\r\n" : "Connection: close\r\n\r\n");
    }
    static bool send_head(weft::connection& client, int status, const std::string& fields, std::string_view body, bool keep) {
        client.write(head(status, fields, keep) + std::string(body), patience);
        return keep;
    }
    static bool send_text(weft::connection& client, const std::string& page, bool keep, bool head_only) {
        const std::string fields = "Content-Type: text/html; charset=utf-8\r\nContent-Length: " + std::to_string(page.size()) + "\r\n";
        return send_head(client, 200, fields, head_only ? "" : page, keep);
    }
    static bool send_page(weft::connection& client, int status, const std::string& more, bool keep, bool head_only) {
        const std::string page = std::to_string(status) + " " + std::string(http::reason(status)) + "\n";
        const std::string fields = more + "Content-Type: text/plain\r\nContent-Length: " + std::to_string(page.size()) + "\r\n";
        return send_head(client, status, fields, head_only ? "" : page, keep);
    }

    std::string root_;
    std::atomic<bool> stopping_{false};
};

} // namespace

int main(int argc, char** argv) {
    samples::options args("Serves the files below a folder by HTTP/1.1. Ends by SIGINT or SIGTERM.", "file-server");
    servers::settings settings;
    std::string root = ".";
    settings.add_to(args);
    args.folder("--root", root, "The folder");
    if (const auto status = args.parse(argc, argv)) return *status;
    servers::allow_many_connections();

    file_server files(root);
    weft::stream_server server(settings.address, [&](weft::connection& client) {
        try {
            files.serve(client);
        } catch (const weft::timeout_error&) { // a client that is silent, or reads nothing
        } catch (const std::system_error&) { // one that has gone
        }
    }, settings.options());
    return servers::serve(server, settings, [&] { files.stop(); });
}
