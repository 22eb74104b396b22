// SPDX-License-Identifier: Apache-2.0
#include "core/context.hpp"

#include "core/sanitizer.hpp"

#include <boost/context/detail/fcontext.hpp>

#include <cerrno>
#include <cxxabi.h>

// The Itanium C++ ABI's layout, stable since gcc 3. Boost's fcontext leaves these globals alone in every version (its C++
// classes keep them from 1.88 on; they are not used here).
namespace __cxxabiv1 {
struct __cxa_eh_globals {
    void* caughtExceptions;
    unsigned int uncaughtExceptions;
};
} // namespace __cxxabiv1

namespace weft::rt {

namespace fc = boost::context::detail;

struct context::boot {
    /// What both ends of a switch do on arrival: note where the other side stands.
    static context& arrived(fc::transfer_t t) noexcept {
        auto& from = *static_cast<context*>(t.data);
        from.machine_ = t.fctx;
        return from;
    }

    [[noreturn]] WEFT_NO_TSAN static void first_run(fc::transfer_t t) noexcept {
        context& from = arrived(t);
        context& self = *from.target_;
        sanitizer::finish_switch(nullptr);
        self.entry_(self.argument_);
        __builtin_unreachable();
    }
};

context::context() noexcept {
    if constexpr (sanitizer::asan) sanitizer::thread_stack(base_, size_);
    sanitizer_ = sanitizer::current_fiber();
}

context::context(void* base, std::size_t size, entry_function entry, void* argument) noexcept
    : base_(base), size_(size), entry_(entry), argument_(argument) {
    sanitizer::unpoison(base, size);
    machine_ = fc::make_fcontext(static_cast<char*>(base) + size, size, &boot::first_run);
    sanitizer_ = sanitizer::create_fiber();
    owns_sanitizer_ = sanitizer::tsan;
}

context::~context() {
    if (owns_sanitizer_) sanitizer::destroy_fiber(sanitizer_);
}

WEFT_NO_TSAN void context::switch_to(context& from, context& to) noexcept {
    const int saved_errno = errno;
    auto* globals = __cxxabiv1::__cxa_get_globals();
    from.caught_ = globals->caughtExceptions;
    from.uncaught_ = globals->uncaughtExceptions;
    globals->caughtExceptions = to.caught_;
    globals->uncaughtExceptions = to.uncaught_;
    from.target_ = &to;
    sanitizer::start_switch(sanitizer::asan ? &from.sanitizer_ : nullptr, to.base_, to.size_, to.sanitizer_);
    boot::arrived(fc::jump_fcontext(to.machine_, &from));
    sanitizer::finish_switch(from.sanitizer_);
    errno = saved_errno;
}

WEFT_NO_TSAN void context::leave(context& from, context& to) noexcept {
    auto* globals = __cxxabiv1::__cxa_get_globals();
    globals->caughtExceptions = to.caught_;
    globals->uncaughtExceptions = to.uncaught_;
    from.target_ = &to;
    sanitizer::start_switch(nullptr, to.base_, to.size_, to.sanitizer_);
    fc::jump_fcontext(to.machine_, &from);
    __builtin_unreachable();
}

} // namespace weft::rt
