// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What every other header of weft includes: the platform check and the visibility of weft's symbols.
///
/// WEFT_API marks what libweft.so exports; everything else in it is hidden. A class whose objects are thrown,
/// or whose members are defined in the library, carries it on the class. Templates and inline functions need none.
///
/// @code
/// #include <stdexcept>
///
/// class WEFT_API my_error : public std::runtime_error {
/// public:
///     using std::runtime_error::runtime_error;
/// };
/// @endcode

// First, since on a wrong platform other headers may fail with a message that says less.
#if !defined(__linux__) || !defined(__x86_64__) || defined(__ILP32__)
#error "weft supports Linux on x86-64 (64 bit) with glibc only: its stack switch and its shim are written for that ABI"
#endif

#include <cstddef> // defines __GLIBC__ where the C library is glibc

#ifndef __GLIBC__
#error "weft supports glibc only: its shim is written for glibc's calls and its thread-local storage"
#endif

/// Exported from libweft.so (or libweft-shim.so), whatever -fvisibility says.
#define WEFT_API __attribute__((visibility("default")))
