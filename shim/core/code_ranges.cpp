// SPDX-License-Identifier: Apache-2.0
// Whose code an address is: what a signal has interrupted.
#include "core/real.hpp"
#include "core/signals.hpp"
#include "core/trap.hpp"

#include "core/hub.hpp"

#include <dlfcn.h>
#include <link.h>

namespace weft::shim::signals {

namespace {

/// Code of weft's, in the midst of which a handler's own calls must not switch fibers.
struct range {
    std::uintptr_t begin = 0, end = 0;
};
constinit range weft_code[3];
constinit range libc_code;

struct found_code {
    std::uintptr_t address;
    range* to;
};

int find_code(dl_phdr_info* object, std::size_t, void* argument) noexcept {
    const auto& wanted = *static_cast<found_code*>(argument);
    for (int i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = object->dlpi_phdr[i];
        const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
        if (part.p_type != PT_LOAD || wanted.address - begin >= part.p_memsz) continue;
        *wanted.to = {begin, begin + part.p_memsz};
        return 1;
    }
    return 0;
}

} // namespace

bool is_weft(std::uintptr_t address) noexcept {
    if (trap::makes_calls(address)) return false;
    for (const range& r : weft_code)
        if (address - r.begin < r.end - r.begin) return true;
    return false;
}

bool is_libc(std::uintptr_t address) noexcept { return address - libc_code.begin < libc_code.end - libc_code.begin; }

void find_code_ranges() noexcept {
    const std::uintptr_t addresses[] = {reinterpret_cast<std::uintptr_t>(&find_code),
                                        reinterpret_cast<std::uintptr_t>(&rt::hub::ensure),
                                        reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, "jump_fcontext"))};
    for (int i = 0; i < 3; ++i) {
        found_code wanted{addresses[i], &weft_code[i]};
        if (addresses[i] != 0) ::dl_iterate_phdr(find_code, &wanted);
    }
    found_code libc{reinterpret_cast<std::uintptr_t>(real().read), &libc_code};
    ::dl_iterate_phdr(find_code, &libc);
}

} // namespace weft::shim::signals
