// SPDX-License-Identifier: Apache-2.0
#pragma once

// A function that is kept to be called later, as std::function, whose header costs more to compile than those that need it.

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::rt {

template <class Signature>
class callback;

/// Copies share the function. Empty: false, and not to be called.
template <class R, class... Args>
class callback<R(Args...)> {
public:
    callback() noexcept = default;
    callback(std::nullptr_t) noexcept {}
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, callback> && std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
    callback(F&& fn) {
        if constexpr (requires { fn == nullptr; })
            if (fn == nullptr) return; // an empty std::function, a null pointer
        function_ = std::make_shared<std::decay_t<F>>(std::forward<F>(fn));
        call_ = [](void* f, Args... args) -> R { return static_cast<R>((*static_cast<std::decay_t<F>*>(f))(std::forward<Args>(args)...)); };
    }

    explicit operator bool() const noexcept { return call_ != nullptr; }
    R operator()(Args... args) const { return call_(function_.get(), std::forward<Args>(args)...); }

private:
    std::shared_ptr<void> function_;
    R (*call_)(void*, Args...) = nullptr;
};

} // namespace weft::rt
