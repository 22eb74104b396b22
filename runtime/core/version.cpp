// SPDX-License-Identifier: Apache-2.0
#include <weft/version.hpp>

const char* weft_version() noexcept
{
    return weft::version;
}
