// SPDX-License-Identifier: Apache-2.0
#include "inspect/backtrace.hpp"

#include "core/context.hpp"

#include <cstring>

#include <unwind.h>

// The linker's: where this library begins, and where its code ends.
extern "C" {
[[gnu::visibility("hidden")]] extern const char __ehdr_start; // NOLINT(bugprone-reserved-identifier)
[[gnu::visibility("hidden")]] extern const char __etext;      // NOLINT(bugprone-reserved-identifier)
}

extern "C" int weft_unwind_at(const weft::rt::registers* at, _Unwind_Trace_Fn function, void* argument) noexcept;

namespace weft::rt {

namespace {

/// The first frame is that of weft_unwind_at itself, or of the caller.
_Unwind_Reason_Code note(_Unwind_Context* c, void* argument) noexcept {
    auto& into = *static_cast<frames*>(argument);
    const auto at = _Unwind_GetIP(c);
    if (at == 0 || into.count >= frames::most) return _URC_END_OF_STACK;
    if (into.count >= 0) into.at[into.count] = reinterpret_cast<const void*>(at);
    ++into.count;
    return _URC_NO_REASON;
}

/// Without a lock of the loader's.
bool is_in_weft(std::uint64_t address) noexcept {
    return address >= reinterpret_cast<std::uint64_t>(&__ehdr_start) && address < reinterpret_cast<std::uint64_t>(&__etext);
}

} // namespace

void unwind(const registers& from, frames& into) noexcept {
    into.count = -1;
    weft_unwind_at(&from, note, &into);
    if (into.count < 0) into.count = 0;
}

void unwind(const context& suspended, frames& into) noexcept {
    into.count = 0;
    const auto* const stored = static_cast<const char*>(suspended.suspended_at());
    if (stored == nullptr) return;
    // What jump_fcontext keeps: control words, r12 to r15, rbx, rbp, and where to go on. That is within jump(), which has moved the stack pointer.
    std::uint64_t kept[8];
    std::memcpy(kept, stored, sizeof kept);
    registers r;
    r.r12 = kept[1];
    r.r13 = kept[2];
    r.r14 = kept[3];
    r.r15 = kept[4];
    r.rbx = kept[5];
    r.rbp = kept[6];
    r.rip = kept[7];
    r.rsp = reinterpret_cast<std::uint64_t>(stored) + sizeof kept + context::jump_red_zone;
    if (is_in_weft(r.rip)) unwind(r, into);
}

void unwind_here(frames& into) noexcept {
    into.count = -1;
    _Unwind_Backtrace(note, &into);
    if (into.count < 0) into.count = 0;
}

} // namespace weft::rt
