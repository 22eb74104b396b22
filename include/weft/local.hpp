// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <cstdint>
#include <memory>
#include <utility>

namespace weft {

namespace rt {

/// One value of one fiber.
class WEFT_API local_value {
public:
    local_value() noexcept = default;
    local_value(const local_value&) = delete;
    local_value& operator=(const local_value&) = delete;
    virtual ~local_value() = default;
};

/// Finds what the calling fiber keeps under a number; null: nothing yet.
WEFT_API local_value* find_local(std::uint64_t key) noexcept;
WEFT_API void keep_local(std::uint64_t key, std::unique_ptr<local_value> value);
WEFT_API void drop_local(std::uint64_t key) noexcept;
/// A number never used before in this process.
WEFT_API std::uint64_t new_local_key() noexcept;

} // namespace rt

/// A variable of which every fiber has its own value, used like a pointer.
///
/// A fiber's value is made, value-initialised, when the fiber first asks for it, and destroyed in that fiber when its function
/// has returned, been left by an exception or been killed: before anyone who waits for its end goes on. The values of one fiber go in the
/// reverse order of their making; their destructors may wait, but are not interrupted. The main fiber of a kernel thread, and a
/// kernel thread without fibers, have values too, until the thread ends. When the fiber_local itself is destroyed, the calling fiber's value goes
/// with it, those of other fibers at their end. Not copied nor moved.
///
/// @code
/// #include <weft/fiber.hpp>
/// weft::fiber_local<int> requests;
/// ++*requests; // 1: ours
/// auto f = weft::spawn([&] { return ++*requests; }); // 1: its own
/// weft::fiber_local<std::string> name;
/// name->append("x");
/// (void)f.get();
/// @endcode
template <class T>
class fiber_local {
    struct holder final : rt::local_value {
        T value = T();
    };

public:
    fiber_local() noexcept : key_(rt::new_local_key()) {}
    fiber_local(const fiber_local&) = delete;
    fiber_local& operator=(const fiber_local&) = delete;
    ~fiber_local() { rt::drop_local(key_); }

    /// The calling fiber's value. Throws what making it throws.
    [[nodiscard]] T* get() const {
        if (rt::local_value* kept = rt::find_local(key_)) return &static_cast<holder*>(kept)->value;
        auto made = std::make_unique<holder>();
        T* value = &made->value;
        rt::keep_local(key_, std::move(made));
        return value;
    }
    T& operator*() const { return *get(); }
    T* operator->() const { return get(); }
    /// Forgets the calling fiber's value: the next use makes a new one.
    void reset() noexcept { rt::drop_local(key_); }

private:
    const std::uint64_t key_;
};

} // namespace weft
