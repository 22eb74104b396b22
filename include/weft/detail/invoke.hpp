// SPDX-License-Identifier: Apache-2.0
#pragma once

// std::invoke without <functional>, which costs more to compile than all else that most public headers include.

#include <tuple>
#include <type_traits>
#include <utility>

namespace weft::rt {

template <class F, class... Args>
constexpr decltype(auto) invoke(F&& fn, Args&&... args) {
    if constexpr (std::is_member_pointer_v<std::remove_cvref_t<F>>)
        return std::apply(std::forward<F>(fn), std::forward_as_tuple(std::forward<Args>(args)...));
    else return std::forward<F>(fn)(std::forward<Args>(args)...);
}

} // namespace weft::rt
