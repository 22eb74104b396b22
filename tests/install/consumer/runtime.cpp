// SPDX-License-Identifier: Apache-2.0
#include <weft/weft.hpp>

#include <cstdio>
#include <cstring>

int main() {
    if (std::strcmp(weft_version(), weft::version) != 0) return 1;
    auto answer = weft::spawn([](int half) { return 2 * half; }, 21);
    if (answer.get() != 42) return 2;
    std::printf("weft %s\n", weft_version());
}
