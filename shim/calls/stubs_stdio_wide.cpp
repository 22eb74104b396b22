// SPDX-License-Identifier: Apache-2.0
// The exported names of wide buffered files: stubs only.
#include "calls/stdio.hpp"

#include <weft/export.hpp>

using namespace weft::shim::file;
using weft::shim::call;
using weft::shim::stdio::input;
using weft::shim::stdio::locking;
using weft::shim::stdio::on_file;

extern "C" {

// --- Input ---

WEFT_API std::wint_t fgetwc(FILE* f) { return input<call::fgetwc>(f, holds_wide{}, f); }
WEFT_API std::wint_t getwc(FILE* f) { return input<call::getwc>(f, holds_wide{}, f); }
WEFT_API std::wint_t fgetwc_unlocked(FILE* f) { return input<call::fgetwc_unlocked, locking::no>(f, holds_wide{}, f); }
WEFT_API std::wint_t getwc_unlocked(FILE* f) { return input<call::getwc_unlocked, locking::no>(f, holds_wide{}, f); }
WEFT_API std::wint_t getwchar() { return input<call::getwc>(stdin, holds_wide{}, stdin); }
WEFT_API std::wint_t getwchar_unlocked() { return input<call::getwc_unlocked, locking::no>(stdin, holds_wide{}, stdin); }
WEFT_API std::wint_t __wuflow(FILE* f) { return input<call::__wuflow, locking::no>(f, holds_wide{}, f); }
WEFT_API std::wint_t __wunderflow(FILE* f) { return input<call::__wunderflow, locking::no>(f, holds_wide{}, f); }
WEFT_API wchar_t* fgetws(wchar_t* line, int size, FILE* f) { return input<call::fgetws>(f, never{}, line, size, f); }
WEFT_API wchar_t* fgetws_unlocked(wchar_t* line, int size, FILE* f) {
    return input<call::fgetws_unlocked, locking::no>(f, never{}, line, size, f);
}
WEFT_API wchar_t* __fgetws_chk(wchar_t* line, std::size_t capacity, int size, FILE* f) {
    return input<call::__fgetws_chk>(f, never{}, line, capacity, size, f);
}
WEFT_API wchar_t* __fgetws_unlocked_chk(wchar_t* line, std::size_t capacity, int size, FILE* f) {
    return input<call::__fgetws_unlocked_chk, locking::no>(f, never{}, line, capacity, size, f);
}
WEFT_API std::wint_t ungetwc(std::wint_t character, FILE* f) { return on_file<call::ungetwc>(f, flushed{}, character, f); }
// Declarations send these to their __isoc99 forms, but older programs import them.
WEFT_API int gnu_wscanf(const wchar_t* format, ...) __asm__("wscanf");
WEFT_API int gnu_fwscanf(FILE* f, const wchar_t* format, ...) __asm__("fwscanf");
WEFT_API int gnu_vwscanf(const wchar_t* format, va_list arguments) __asm__("vwscanf");
WEFT_API int gnu_vfwscanf(FILE* f, const wchar_t* format, va_list arguments) __asm__("vfwscanf");

WEFT_API int gnu_wscanf(const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::vfwscanf>(stdin, never{}, stdin, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int gnu_fwscanf(FILE* f, const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::vfwscanf>(f, never{}, f, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int gnu_vwscanf(const wchar_t* format, va_list arguments) { return input<call::vfwscanf>(stdin, never{}, stdin, format, arguments); }
WEFT_API int gnu_vfwscanf(FILE* f, const wchar_t* format, va_list arguments) { return input<call::vfwscanf>(f, never{}, f, format, arguments); }
WEFT_API int __isoc99_wscanf(const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::__isoc99_vfwscanf>(stdin, never{}, stdin, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __isoc99_fwscanf(FILE* f, const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::__isoc99_vfwscanf>(f, never{}, f, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __isoc99_vwscanf(const wchar_t* format, va_list arguments) {
    return input<call::__isoc99_vfwscanf>(stdin, never{}, stdin, format, arguments);
}
WEFT_API int __isoc99_vfwscanf(FILE* f, const wchar_t* format, va_list arguments) {
    return input<call::__isoc99_vfwscanf>(f, never{}, f, format, arguments);
}

// --- Output ---

WEFT_API std::wint_t fputwc(wchar_t character, FILE* f) { return on_file<call::fputwc>(f, never{}, character, f); }
WEFT_API std::wint_t putwc(wchar_t character, FILE* f) { return on_file<call::putwc>(f, never{}, character, f); }
WEFT_API std::wint_t fputwc_unlocked(wchar_t character, FILE* f) {
    return on_file<call::fputwc_unlocked, locking::no>(f, never{}, character, f);
}
WEFT_API std::wint_t putwc_unlocked(wchar_t character, FILE* f) {
    return on_file<call::putwc_unlocked, locking::no>(f, never{}, character, f);
}
WEFT_API std::wint_t putwchar(wchar_t character) { return on_file<call::putwc>(stdout, never{}, character, stdout); }
WEFT_API std::wint_t putwchar_unlocked(wchar_t character) {
    return on_file<call::putwc_unlocked, locking::no>(stdout, never{}, character, stdout);
}
WEFT_API std::wint_t __woverflow(FILE* f, std::wint_t character) {
    return on_file<call::__woverflow, locking::no>(f, never{}, f, character);
}
WEFT_API int fputws(const wchar_t* text, FILE* f) { return on_file<call::fputws>(f, never{}, text, f); }
WEFT_API int fputws_unlocked(const wchar_t* text, FILE* f) { return on_file<call::fputws_unlocked, locking::no>(f, never{}, text, f); }
WEFT_API int wprintf(const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_file<call::vfwprintf>(stdout, never{}, stdout, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int fwprintf(FILE* f, const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_file<call::vfwprintf>(f, never{}, f, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int vwprintf(const wchar_t* format, va_list arguments) {
    return on_file<call::vfwprintf>(stdout, never{}, stdout, format, arguments);
}
WEFT_API int vfwprintf(FILE* f, const wchar_t* format, va_list arguments) {
    return on_file<call::vfwprintf>(f, never{}, f, format, arguments);
}
WEFT_API int __wprintf_chk(int flag, const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_file<call::__vfwprintf_chk>(stdout, never{}, stdout, flag, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __fwprintf_chk(FILE* f, int flag, const wchar_t* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_file<call::__vfwprintf_chk>(f, never{}, f, flag, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __vwprintf_chk(int flag, const wchar_t* format, va_list arguments) {
    return on_file<call::__vfwprintf_chk>(stdout, never{}, stdout, flag, format, arguments);
}
WEFT_API int __vfwprintf_chk(FILE* f, int flag, const wchar_t* format, va_list arguments) {
    return on_file<call::__vfwprintf_chk>(f, never{}, f, flag, format, arguments);
}

// --- Which of the two ---

WEFT_API int fwide(FILE* f, int mode) noexcept { return on_file<call::fwide>(f, always{}, f, mode); }

} // extern "C"
