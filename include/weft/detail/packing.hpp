// SPDX-License-Identifier: Apache-2.0
#pragma once

// Values as bytes, between processes of one program: trivially copyable ones, strings, and vectors, pairs and tuples of such.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::rt {

template <class T>
struct packing; // to(bytes, value), from(bytes) -> value

/// Whether a T can cross processes. What points to memory of one process cannot.
template <class T>
concept packable = requires { sizeof(packing<T>); };

template <class T>
void pack(std::string& to, const T& value) {
    packing<T>::to(to, value);
}
/// Takes a value off the front.
template <class T>
T unpack(std::string_view& from) {
    return packing<T>::from(from);
}

/// The next `size` bytes.
inline std::string_view take_bytes(std::string_view& from, std::size_t size) {
    if (size > from.size()) throw std::runtime_error("weft: a message between processes is cut off");
    const std::string_view taken = from.substr(0, size);
    from.remove_prefix(size);
    return taken;
}

template <class T>
    requires(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> && !std::is_reference_v<T> &&
             !std::convertible_to<T, std::string_view>)
struct packing<T> {
    static void to(std::string& bytes, const T& value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); }
    static T from(std::string_view& bytes) {
        union {
            char nothing;
            T value;
        } place{0};
        std::memcpy(static_cast<void*>(&place.value), take_bytes(bytes, sizeof(T)).data(), sizeof(T));
        return place.value;
    }
};

template <>
struct packing<std::string> {
    static void to(std::string& bytes, const std::string& value) {
        pack(bytes, std::uint64_t{value.size()});
        bytes += value;
    }
    static std::string from(std::string_view& bytes) {
        const auto size = unpack<std::uint64_t>(bytes);
        return std::string(take_bytes(bytes, size));
    }
};

template <packable T>
struct packing<std::vector<T>> {
    static constexpr bool plain = std::is_trivially_copyable_v<T> && !std::same_as<T, bool>;
    static void to(std::string& bytes, const std::vector<T>& values) {
        pack(bytes, std::uint64_t{values.size()});
        if constexpr (plain) bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
        else
            for (const T& v : values) pack<T>(bytes, v);
    }
    static std::vector<T> from(std::string_view& bytes) {
        const auto size = unpack<std::uint64_t>(bytes);
        std::vector<T> values;
        if constexpr (plain) {
            if (size > bytes.size() / sizeof(T)) throw std::runtime_error("weft: a message between processes is cut off");
            values.resize(size);
            if (size != 0) std::memcpy(static_cast<void*>(values.data()), take_bytes(bytes, size * sizeof(T)).data(), size * sizeof(T));
        } else {
            for (std::uint64_t i = 0; i < size; ++i) values.push_back(unpack<T>(bytes));
        }
        return values;
    }
};

template <packable A, packable B>
    requires(!std::is_trivially_copyable_v<std::pair<A, B>>)
struct packing<std::pair<A, B>> {
    static void to(std::string& bytes, const std::pair<A, B>& value) {
        pack<A>(bytes, value.first);
        pack<B>(bytes, value.second);
    }
    static std::pair<A, B> from(std::string_view& bytes) { return std::pair<A, B>{unpack<A>(bytes), unpack<B>(bytes)}; }
};

template <packable... T>
    requires(!std::is_trivially_copyable_v<std::tuple<T...>>)
struct packing<std::tuple<T...>> {
    static void to(std::string& bytes, const std::tuple<T...>& value) {
        std::apply([&](const T&... parts) { (pack<T>(bytes, parts), ...); }, value);
    }
    static std::tuple<T...> from(std::string_view& bytes) { return std::tuple<T...>{unpack<T>(bytes)...}; }
};

/// What is sent of a T: text that lies elsewhere goes along.
template <class T>
using packed_t = std::conditional_t<std::convertible_to<std::decay_t<T>, std::string_view>, std::string, std::decay_t<T>>;

} // namespace weft::rt
