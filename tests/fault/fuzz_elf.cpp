// SPDX-License-Identifier: Apache-2.0
// What `weft check` reads of a file that anybody may have made.
#include "launcher/inline_calls.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const weft::launcher::elf_file file({data, size});
    std::size_t sum = file.interpreter().size() + file.needed().size() + file.imports().size() + file.functions().size();
    sum += file.has_note("Go") ? 1 : 0;
    sum += file.has_section(".gopclntab") ? 1 : 0;
    if (!file.is_elf() && sum != 0) std::abort();
    if (size < (1U << 16)) (void)weft::launcher::find_inline_calls(file);
    // And the instructions themselves, wherever they begin.
    for (std::size_t at = 0; at < size && at < 64; ++at)
        if (weft::launcher::instruction_length({data + at, size - at}) > size - at) std::abort();
    return 0;
}
