// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What every other header of weft includes: the platform check and the visibility of weft's symbols.
///
/// WEFT_API marks what libweft.so exports; everything else in it is hidden. A class whose objects are thrown,
/// or whose members are defined in the library, carries it on the class. Templates and inline functions need none.
///
/// @code
/// class WEFT_API my_error : public std::runtime_error {
/// public:
///     using std::runtime_error::runtime_error;
/// };
/// @endcode

#include <cstddef> // defines __GLIBC__ where the C library is glibc

#if !defined(__linux__) || !defined(__x86_64__) || !defined(__GLIBC__)
#error "weft supports Linux on x86-64 with glibc only: its stack switch and its shim are written for that ABI"
#endif

#if defined(__ILP32__)
#error "weft supports 64-bit programs only, not the x32 ABI"
#endif

/// Exported from libweft.so (or libweft-shim.so), whatever -fvisibility says.
#define WEFT_API __attribute__((visibility("default")))
