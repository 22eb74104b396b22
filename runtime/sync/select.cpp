// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/select_case.hpp>
#include <weft/errors.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace weft::rt {

namespace {

constinit std::atomic<std::uint64_t> draws{0};

/// A number from a sequence without pattern (splitmix64).
std::uint64_t draw() noexcept {
    std::uint64_t z = (draws.fetch_add(1, std::memory_order_relaxed) + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/// The locks of all queues at once, in the order of their addresses; the same queue may be in several cases.
class all_locks {
public:
    all_locks(std::span<select_case* const> cases, std::span<spinlock*> scratch) {
        for (std::size_t i = 0; i < cases.size(); ++i) scratch[i] = &cases[i]->guard();
        std::ranges::sort(scratch);
        locks_ = scratch.first(scratch.size() - std::ranges::unique(scratch).size());
    }
    void lock() noexcept {
        for (spinlock* l : locks_) l->lock();
    }
    void unlock() noexcept {
        for (spinlock* l : locks_) l->unlock();
    }

private:
    std::span<spinlock*> locks_;
};

struct attempt {
    std::size_t which = none_of_them;
    queue_outcome result = queue_outcome::late;
};

/// In random order, so that each of those that can be done has the same chance.
attempt look_at(std::span<select_case* const> cases) noexcept {
    constexpr std::size_t at_once = 64;
    attempt closed;
    const auto look = [&](std::size_t i) {
        const queue_outcome o = cases[i]->look();
        if (o == queue_outcome::closed) closed = {i, o};
        return o == queue_outcome::done;
    };
    // Where there are very many: 64 in random order, beginning anywhere, then the rest.
    std::uint8_t order[at_once];
    const std::size_t count = std::min(cases.size(), at_once);
    const std::size_t turn = cases.size() > at_once ? draw() % cases.size() : 0;
    for (std::size_t i = 0; i < count; ++i) order[i] = static_cast<std::uint8_t>(i);
    for (std::size_t left = count; left > 0; --left) {
        const std::size_t drawn = left == 1 ? 0 : draw() % left;
        const std::size_t i = (order[drawn] + turn) % cases.size();
        if (look(i)) return {i, queue_outcome::done};
        order[drawn] = order[left - 1];
    }
    for (std::size_t n = at_once; n < cases.size(); ++n) {
        const std::size_t i = (n + turn) % cases.size();
        if (look(i)) return {i, queue_outcome::done};
    }
    return closed;
}

} // namespace

std::size_t choose(std::span<select_case* const> cases, std::span<spinlock*> scratch, deadline d) {
    all_locks all(cases, scratch);
    const auto look = [&] {
        const std::lock_guard hold(all);
        return look_at(cases);
    };
    for (;;) {
        interruption_point();
        attempt now = look();
        wake_reason reason = wake_reason::deadline;
        if (now.result == queue_outcome::late && !d.expired()) {
            waiter w("one of several queues", cases.empty() ? nullptr : cases.front());
            w.mark_several();
            all.lock();
            now = look_at(cases);
            if (now.result == queue_outcome::late)
                for (select_case* c : cases) c->enlist(w);
            all.unlock();
            if (now.result != queue_outcome::late) {
                w.abandon();
            } else {
                reason = w.suspend(d);
                {
                    const std::lock_guard hold(all);
                    for (std::size_t i = 0; i < cases.size(); ++i)
                        if (const queue_outcome o = cases[i]->withdraw(); o != queue_outcome::late) now = {i, o};
                }
                for (std::size_t i = 0; i < cases.size(); ++i)
                    if (!cases[i]->settle() && i == now.which) now = {};
            }
        }
        if (now.result == queue_outcome::done) return now.which;
        if (now.result == queue_outcome::closed) throw queue_shutdown();
        if (reason != wake_reason::woken && deadline_reached(reason)) return none_of_them;
    }
}

void queue_get_case::enlist(waiter& w) noexcept {
    ticket_.node.owner = &w;
    ticket_.result = queue_outcome::late;
    core_.enlist_get(ticket_);
}

queue_outcome queue_get_case::withdraw() noexcept {
    wait_list::remove(ticket_.node);
    return ticket_.result;
}

void queue_put_case::enlist(waiter& w) noexcept {
    ticket_.node.owner = &w;
    ticket_.result = queue_outcome::late;
    core_.enlist_put(ticket_);
}

queue_outcome queue_put_case::withdraw() noexcept {
    wait_list::remove(ticket_.node);
    return ticket_.result;
}

} // namespace weft::rt
