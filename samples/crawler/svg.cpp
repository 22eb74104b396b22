// SPDX-License-Identifier: Apache-2.0
#include "svg.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace crawl {
namespace {

constexpr double width = 720;
constexpr double height = 220;
constexpr double left = 46;
constexpr double bottom = 190;
constexpr double top = 24;

std::string number(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f", value);
    return text.data();
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text) {
    return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + std::string(anchor) + "\">" +
           html_escape(text) + "</text>";
}

std::string open_chart(std::string_view title) {
    return "<svg viewBox=\"0 0 " + number(width) + " " + number(height) + "\" role=\"img\" aria-label=\"" +
           html_escape(title) + "\"><line class=\"axis\" x1=\"" + number(left) + "\" y1=\"" + number(bottom) +
           "\" x2=\"" + number(width) + "\" y2=\"" + number(bottom) + "\"/>";
}

/// A round number at or above `value`, for the top of an axis.
double axis_top(double value) {
    double step = 1;
    while (true) {
        for (const double factor : {1.0, 2.0, 5.0})
            if (step * factor >= value) return step * factor;
        step *= 10;
    }
}

std::string grid(double highest) {
    std::string out;
    for (const double share : {0.5, 1.0}) {
        const double y = bottom - (bottom - top) * share;
        out += "<line class=\"grid\" x1=\"" + number(left) + "\" y1=\"" + number(y) + "\" x2=\"" + number(width) +
               "\" y2=\"" + number(y) + "\"/>";
        const double value = highest * share;
        out += text_at(
            left - 6, y + 4, "end",
            value == static_cast<double>(static_cast<long>(value)) ? std::to_string(static_cast<long>(value))
                                                                   : number(value));
    }
    return out;
}

} // namespace

std::string html_escape(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 8);
    for (const char c : text) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        case '\'': out += "&#39;"; break;
        default:
            if (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t') out += "\xef\xbf\xbd";
            else out += c;
        }
    }
    return out;
}

std::string bar_chart(const std::vector<bar>& bars, std::string_view title) {
    std::uint64_t most = 1;
    for (const auto& one : bars) most = std::max(most, one.value);
    const double highest = axis_top(static_cast<double>(most));
    const double room = (width - left) / static_cast<double>(std::max<std::size_t>(bars.size(), 1));
    const double bar_width = std::min(room * 0.8, 60.0);
    const std::size_t label_every = bars.size() / 16 + 1;

    std::string out = open_chart(title) + grid(highest);
    for (std::size_t i = 0; i < bars.size(); ++i) {
        const double middle = left + room * (static_cast<double>(i) + 0.5);
        const double tall = (bottom - top) * static_cast<double>(bars[i].value) / highest;
        out += "<rect x=\"" + number(middle - bar_width / 2) + "\" y=\"" + number(bottom - tall) + "\" width=\"" +
               number(bar_width) + "\" height=\"" + number(tall) + "\"><title>" + html_escape(bars[i].hint) +
               "</title></rect>";
        if (i % label_every == 0) {
            out += text_at(middle, bottom + 16, "middle", bars[i].label);
            if (bars[i].value) out += text_at(middle, bottom - tall - 4, "middle", std::to_string(bars[i].value));
        }
    }
    return out + "</svg>";
}

std::string rate_chart(const std::vector<std::uint64_t>& per_second, std::string_view title) {
    constexpr std::size_t most_points = 300;
    const std::size_t step = per_second.size() / most_points + 1;
    std::vector<double> points;
    for (std::size_t at = 0; at < per_second.size(); at += step) {
        const std::size_t end = std::min(at + step, per_second.size());
        double sum = 0;
        for (std::size_t i = at; i < end; ++i) sum += static_cast<double>(per_second[i]);
        points.push_back(sum / static_cast<double>(end - at));
    }
    if (points.empty()) points.push_back(0);
    const double highest = axis_top(std::max(1.0, *std::max_element(points.begin(), points.end())));
    const double room = (width - left) / static_cast<double>(points.size());

    std::string path = "M" + number(left) + " " + number(bottom);
    for (std::size_t i = 0; i < points.size(); ++i) {
        const double y = bottom - (bottom - top) * points[i] / highest;
        path += " L" + number(left + room * static_cast<double>(i)) + " " + number(y);
        path += " L" + number(left + room * static_cast<double>(i + 1)) + " " + number(y);
    }
    path += " L" + number(width) + " " + number(bottom) + " Z";
    return open_chart(title) + grid(highest) + "<path class=\"area\" d=\"" + path + "\"/>" +
           text_at(left, bottom + 16, "start", "0 s") +
           text_at(width, bottom + 16, "end", std::to_string(per_second.size()) + " s") + "</svg>";
}

} // namespace crawl
