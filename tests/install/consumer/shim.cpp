// SPDX-License-Identifier: Apache-2.0
// A fiber blocks in read(2) on what another fiber writes afterwards: without the shim this never ends.
#include <weft/weft.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

int main() {
    if (!weft::is_patched("read")) return 1;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 2;
    auto reader = weft::spawn([&] {
        char letter = 0;
        return read(ends[0], &letter, 1) == 1 ? letter : '?';
    });
    auto writer = weft::spawn([&] { return write(ends[1], "w", 1); });
    if (reader.get() != 'w' || writer.get() != 1) return 3;
    std::puts("read and write suspended their fibers");
}
