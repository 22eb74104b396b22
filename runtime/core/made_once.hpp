// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace weft::rt {

/// An object of the whole process, made when it is first asked for and never destroyed. In place of a function's static, whose maker the child of a fork
/// would wait for: nobody waits here, and of two that are made at once one is dropped.
///
///     constinit made_once<workers> helpers;
///     workers& all = helpers.get(8, std::chrono::seconds(10));
template <class T>
class made_once {
public:
    template <class... A>
    T& get(const A&... arguments) {
        T* it = it_.load(std::memory_order_acquire);
        if (__builtin_expect(it != nullptr, 1)) return *it;
        T* const made = new T(arguments...);
        if (it_.compare_exchange_strong(it, made, std::memory_order_acq_rel)) return *made;
        delete made;
        return *it;
    }

private:
    std::atomic<T*> it_{nullptr};
};

} // namespace weft::rt
