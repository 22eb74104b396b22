// SPDX-License-Identifier: Apache-2.0
#include "core/real.hpp"

#include "core/socket_attempt.hpp"
#include "core/libc_names.hpp"
#include "core/log.hpp"
#include "core/sys.hpp"

#include <dlfcn.h>
#include <gnu/libc-version.h>

namespace weft::shim {

constinit real_calls real_table{};
constinit bool real_resolved = false;

namespace {

template <class F>
void resolve(F*& pointer, const char* name) noexcept {
    // A name that libc keeps for old binaries only has the first version there was. Asking by dlsym would allocate.
    void* found = look_up_in_libc(name) == libc_name::old ? ::dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5") : ::dlsym(RTLD_NEXT, name);
    if (found == nullptr) {
        rt::log_line line;
        line << "libc has no " << name << "; this weft was built for another one";
        line.write();
        rt::sys::call(SYS_exit_group, 127);
    }
    pointer = reinterpret_cast<F*>(found);
}

} // namespace

const real_calls& resolve_real() noexcept {
    // Called again from another thread, or from within dlsym, it does the same once more: harmless.
#define WEFT_CALL(name, family) resolve(real_table.name, #name);
#include "core/calls.def"
#undef WEFT_CALL
    attempt::look_who_is_next();
    __atomic_store_n(&real_resolved, true, __ATOMIC_RELEASE);
    return real_table;
}

namespace attempt {

constinit bool libc_is_next = false;

void look_who_is_next() noexcept {
    Dl_info libc{};
    const auto is_of_libc = [&libc](auto* function) {
        Dl_info its{};
        return ::dladdr(reinterpret_cast<void*>(function), &its) != 0 && its.dli_fbase == libc.dli_fbase;
    };
    libc_is_next = ::dladdr(reinterpret_cast<void*>(&::gnu_get_libc_version), &libc) != 0 && is_of_libc(real_table.recvfrom) &&
                   is_of_libc(real_table.sendto) && is_of_libc(real_table.recvmsg) && is_of_libc(real_table.sendmsg);
}

} // namespace attempt

void* real_by_name(std::string_view name) noexcept {
#define WEFT_CALL(n, family)                                                                                           \
    if (name == #n) return reinterpret_cast<void*>(real().n);
#include "core/calls.def"
#undef WEFT_CALL
    return nullptr;
}

} // namespace weft::shim
