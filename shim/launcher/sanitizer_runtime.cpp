// SPDX-License-Identifier: Apache-2.0
#include "launcher/sanitizer_runtime.hpp"

#include "launcher/elf_file.hpp"
#include "launcher/find_program.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft::launcher {

bool is_sanitizer_runtime(std::string_view library) {
    if (const auto slash = library.rfind('/'); slash != std::string_view::npos) library.remove_prefix(slash + 1);
    for (const std::string_view one : {"libasan.so", "libtsan.so", "liblsan.so", "libhwasan.so", "libclang_rt.asan", "libclang_rt.tsan"})
        if (library.starts_with(one)) return true;
    return false;
}

std::string sanitizer_runtime_of(const std::string& program) {
    const int fd = ::open(find_program(program).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return {};
    std::string name;
    struct stat s{};
    if (::fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 0) {
        const auto size = static_cast<std::size_t>(s.st_size);
        if (void* const p = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0); p != MAP_FAILED) {
            const elf_file file({static_cast<const unsigned char*>(p), size});
            for (const std::string_view needed : file.needed())
                if (name.empty() && is_sanitizer_runtime(needed)) name = needed;
            ::munmap(p, size);
        }
    }
    ::close(fd);
    return name;
}

} // namespace weft::launcher
