// SPDX-License-Identifier: Apache-2.0
#include "core/real.hpp"

#include "core/libc_names.hpp"
#include "core/log.hpp"
#include "core/sys.hpp"

#include <dlfcn.h>

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
    __atomic_store_n(&real_resolved, true, __ATOMIC_RELEASE);
    return real_table;
}

void* real_by_name(std::string_view name) noexcept {
#define WEFT_CALL(n, family)                                                                                           \
    if (name == #n) return reinterpret_cast<void*>(real().n);
#include "core/calls.def"
#undef WEFT_CALL
    return nullptr;
}

} // namespace weft::shim
