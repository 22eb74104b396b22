// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is needed of <ranges> to go through something: that header is a large part of what small programs take to compile.

#include <iterator>
#include <utility>

namespace weft::rt {

template <class Range>
using iterator_t = decltype(std::ranges::begin(std::declval<Range&>()));

/// std::ranges::input_range
template <class Range>
concept input_range = requires(Range& r) { std::ranges::end(r); } && std::input_iterator<iterator_t<Range>>;

template <class Range>
using range_value_t = std::iter_value_t<iterator_t<Range>>;
template <class Range>
using range_reference_t = std::iter_reference_t<iterator_t<Range>>;

} // namespace weft::rt
