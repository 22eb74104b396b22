// SPDX-License-Identifier: Apache-2.0
#include "core/context.hpp"

#include <cerrno>

namespace weft::rt {

context::context() noexcept {
    this_thread_state.errno_address = &errno;
    this_thread_state.exception_globals = __cxxabiv1::__cxa_get_globals();
    if constexpr (sanitizer::asan) sanitizer::thread_stack(base_, size_);
    sanitizer_ = sanitizer::current_fiber();
}

context::context(void* base, std::size_t size, entry_function entry, void* argument) noexcept
    : base_(base), size_(size), argument_(argument) {
    sanitizer::unpoison(base, size);
    machine_ = boost::context::detail::make_fcontext(static_cast<char*>(base) + size, size, entry);
    sanitizer_ = sanitizer::create_fiber();
    owns_sanitizer_ = sanitizer::tsan;
}

context::~context() {
    if (owns_sanitizer_) sanitizer::destroy_fiber(sanitizer_);
}

} // namespace weft::rt
