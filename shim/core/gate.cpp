// SPDX-License-Identifier: Apache-2.0
#include "core/gate.hpp"

#include "core/registry.hpp"

namespace weft::shim {

namespace {

// Linked default: all but `threads` (a program that links fibers keeps its real threads unless it asks).
constexpr std::uint32_t linked_default = ~(1U << static_cast<unsigned>(family::threads));

} // namespace

constinit std::atomic<std::uint32_t> gate::families_{linked_default};
constinit bool gate::always_serve_ = false;
constinit bool gate::hubs_meet_ = false;
constinit bool gate::preloaded_ = false;

stats::way gate::way_of(family f) noexcept {
    if (open(f)) return stats::way::served;
    const rt::thread_state& here = rt::this_thread_state;
    if (here.inside != 0) return stats::way::inside;
    if (here.running == nullptr) return stats::way::off_fiber;
    return is_on(f) ? stats::way::alone : stats::way::family_off;
}

bool gate::make_hub(family f) noexcept {
    rt::thread_state& here = rt::this_thread_state;
    if (here.inside != 0 || here.current_hub != nullptr || !is_on(f) || !rt::hub_registry::on_main_thread()) return false;
    const rt::inside_weft inside;
    try {
        rt::hub::ensure();
        return true;
    } catch (...) {
        return false; // no descriptors for a hub: the real call it is
    }
}

} // namespace weft::shim
