// SPDX-License-Identifier: Apache-2.0
#pragma once

// The values that one fiber keeps for the fiber_locals of the program.

#include <weft/local.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace weft::rt {

/// Used by its fiber only, so it needs no lock. Programs have a handful of such variables: looked through in order.
class local_table {
public:
    local_table() noexcept = default;
    local_table(const local_table&) = delete;
    local_table& operator=(const local_table&) = delete;
    ~local_table() { clear(); }

    [[nodiscard]] local_value* find(std::uint64_t key) const noexcept {
        for (const entry& e : entries_)
            if (e.key == key) return e.value.get();
        return nullptr;
    }
    void keep(std::uint64_t key, std::unique_ptr<local_value> value) { entries_.push_back({key, std::move(value)}); }
    void drop(std::uint64_t key) noexcept;
    /// Destroys all, the newest first; what a destructor makes anew goes too.
    void clear() noexcept;

private:
    struct entry {
        std::uint64_t key;
        std::unique_ptr<local_value> value;
    };
    std::vector<entry> entries_;
};

class fiber_core;
/// In a fiber whose function has ended: destroys its values.
void end_locals(fiber_core& f) noexcept;

} // namespace weft::rt
