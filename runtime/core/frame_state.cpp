// SPDX-License-Identifier: Apache-2.0
#include "core/frame_state.hpp"

#include "core/leak_roots.hpp"
#include "core/thread_pointer.hpp"

#include <cerrno>
#include <cstring>

#include <link.h>
#include <sys/mman.h>

namespace weft::rt {

namespace {

constexpr std::size_t word = sizeof(std::uint64_t), page = 4096;
constexpr std::size_t most_words = 1024; // that a frame's parts may have

/// A part of a frame, from its thread pointer.
struct part {
    std::ptrdiff_t from = 0;
    std::size_t words = 0;
};

/// libc's block of variables: that which holds errno.
part libcs_block() noexcept {
    part found;
    ::dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* out) -> int {
            for (int i = 0; i < module->dlpi_phnum; ++i) {
                if (module->dlpi_phdr[i].p_type != PT_TLS || module->dlpi_tls_data == nullptr) continue;
                const auto* const block = static_cast<const char*>(module->dlpi_tls_data);
                const std::size_t size = module->dlpi_phdr[i].p_memsz;
                if (static_cast<std::size_t>(reinterpret_cast<const char*>(&errno) - block) >= size) continue;
                *static_cast<part*>(out) = {block - thread_pointer(), (size + word - 1) / word};
                return 1;
            }
            return 0;
        },
        &found);
    return found;
}

/// Null: they are too large, or too far apart, for what a frame's places are noted in.
const part* parts_of(const tls_layout& layout) noexcept {
    static constinit part parts[2];
    if (parts[1].words == 0) {
        parts[0] = libcs_block();
        parts[1] = {0, layout.descriptor / word};
    }
    constexpr std::ptrdiff_t size = word, farthest = INT16_MIN * size;
    const bool fits = parts[0].words != 0 && parts[0].words + parts[1].words <= most_words;
    return fits && parts[0].from % size == 0 && parts[0].from >= farthest ? parts : nullptr;
}

} // namespace

// A frame's: how many words, their places (four in a word), their values.
bool frame_states::begin(const tls_layout& layout, std::size_t frames, frame_states& rest) noexcept {
    const part* const parts = parts_of(layout);
    if (parts == nullptr) return false;
    const std::size_t most = parts[0].words + parts[1].words;
    bytes_ = frames * (1 + (most + 3) / 4 + most) * word + rest.left() * word;
    bytes_ = (bytes_ + page - 1) / page * page;
    void* const p = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    memory_ = next_ = end_ = static_cast<std::uint64_t*>(p);
    return true;
}

void frame_states::add(const tls_layout& layout, const char* pointer) noexcept {
    const part* const parts = parts_of(layout);
    std::int16_t places[most_words];
    std::size_t count = 0;
    const auto value_at = [pointer](std::ptrdiff_t place) noexcept {
        std::uint64_t value = 0;
        std::memcpy(&value, pointer + place * static_cast<std::ptrdiff_t>(word), word);
        return value;
    };
    for (const part* p = parts; p != parts + 2; ++p) {
        for (std::size_t i = 0; i < p->words; ++i) {
            const std::ptrdiff_t place = p->from / static_cast<std::ptrdiff_t>(word) + static_cast<std::ptrdiff_t>(i);
            if (value_at(place) != 0) places[count++] = static_cast<std::int16_t>(place);
        }
    }
    *end_++ = count;
    std::memcpy(end_, places, count * sizeof *places);
    end_ += (count + 3) / 4;
    for (std::size_t i = 0; i < count; ++i) *end_++ = value_at(places[i]);
}

void frame_states::finish(frame_states& rest) noexcept {
    if (rest.left() != 0) std::memcpy(end_, rest.next_, rest.left() * word);
    end_ += rest.left();
    rest.release();
    const std::size_t used = (static_cast<std::size_t>(end_ - memory_) * word + page - 1) / page * page;
    if (used < bytes_) ::munmap(reinterpret_cast<char*>(memory_) + used, bytes_ - used);
    bytes_ = used;
    leak_roots::add(memory_, bytes_);
}

void frame_states::take(char* pointer) noexcept {
    const std::size_t count = *next_++;
    const auto* const places = reinterpret_cast<const char*>(next_);
    next_ += (count + 3) / 4;
    for (std::size_t i = 0; i < count; ++i) {
        std::int16_t place = 0;
        std::memcpy(&place, places + i * sizeof place, sizeof place);
        std::memcpy(pointer + place * static_cast<std::ptrdiff_t>(word), next_++, word);
    }
    if (next_ == end_) release();
}

void frame_states::release() noexcept {
    if (memory_ == nullptr) return;
    leak_roots::remove(memory_, bytes_);
    ::munmap(memory_, bytes_);
    *this = frame_states();
}

} // namespace weft::rt
