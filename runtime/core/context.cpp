// SPDX-License-Identifier: Apache-2.0
#include "core/context.hpp"

#include "core/sys.hpp"
#include "core/tls_frame.hpp"

#include <cerrno>

namespace weft::rt {

constinit std::ptrdiff_t context::also_touched = 0;

context::context() noexcept {
    frame_ = &this_thread_state;
    this_thread_state.errno_address = &errno;
    this_thread_state.exception_globals = __cxxabiv1::__cxa_get_globals();
    this_thread_state.thread_pointer = rt::thread_pointer();
    this_thread_state.carrier = &this_thread_state;
    if constexpr (sanitizer::asan) sanitizer::thread_stack(base_, size_);
    sanitizer_ = sanitizer::current_fiber();
}

context::context(void* base, std::size_t size, entry_function entry, void* argument, thread_state& frame) noexcept
    : frame_(&frame), base_(base), size_(size), argument_(argument) {
    sanitizer::unpoison(base, size);
    machine_ = boost::context::detail::make_fcontext(static_cast<char*>(base) + size, size, entry);
    sanitizer_ = sanitizer::create_fiber();
    owns_sanitizer_ = sanitizer::tsan;
}

void context::move_frame(thread_state& frame, thread_state& carrier) noexcept {
    frame.carrier = &carrier;
    tls_frame::set_tid(frame, sys::gettid());
}

context::~context() {
    if (owns_sanitizer_) sanitizer::destroy_fiber(sanitizer_);
}

} // namespace weft::rt
