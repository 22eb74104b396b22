// SPDX-License-Identifier: Apache-2.0
// The exported names of buffered output: stubs only.
#include "calls/stdio.hpp"

#include <weft/export.hpp>

using namespace weft::shim::file;
using weft::shim::call;
using weft::shim::stdio::locking;
using weft::shim::stdio::on_descriptor;
using weft::shim::stdio::on_file;
using weft::shim::stdio::on_print;

extern "C" {

// --- Characters, texts, blocks ---

WEFT_API int fputc(int byte, FILE* f) { return on_file<call::fputc>(f, has_room_for_byte{byte}, byte, f); }
WEFT_API int putc(int byte, FILE* f) { return on_file<call::putc>(f, has_room_for_byte{byte}, byte, f); }
WEFT_API int _IO_putc(int byte, FILE* f) { return on_file<call::_IO_putc>(f, has_room_for_byte{byte}, byte, f); }
WEFT_API int fputc_unlocked(int byte, FILE* f) { return on_file<call::fputc_unlocked, locking::no>(f, has_room_for_byte{byte}, byte, f); }
WEFT_API int putc_unlocked(int byte, FILE* f) { return on_file<call::putc_unlocked, locking::no>(f, has_room_for_byte{byte}, byte, f); }
WEFT_API int putchar(int byte) { return on_file<call::putc>(stdout, has_room_for_byte{byte}, byte, stdout); }
WEFT_API int putchar_unlocked(int byte) { return on_file<call::putc_unlocked, locking::no>(stdout, has_room_for_byte{byte}, byte, stdout); }
WEFT_API int __overflow(FILE* f, int byte) { return on_file<call::__overflow, locking::no>(f, has_room_for_byte{byte}, f, byte); }
WEFT_API int fputs(const char* text, FILE* f) { return on_file<call::fputs>(f, has_room_for_text{text}, text, f); }
WEFT_API int _IO_fputs(const char* text, FILE* f) { return on_file<call::_IO_fputs>(f, has_room_for_text{text}, text, f); }
WEFT_API int fputs_unlocked(const char* text, FILE* f) {
    return on_file<call::fputs_unlocked, locking::no>(f, has_room_for_text{text}, text, f);
}
WEFT_API int puts(const char* text) { return on_file<call::puts>(stdout, has_room_for_line{text}, text); }
WEFT_API int _IO_puts(const char* text) { return on_file<call::_IO_puts>(stdout, has_room_for_line{text}, text); }
WEFT_API std::size_t fwrite(const void* from, std::size_t size, std::size_t count, FILE* f) {
    return on_file<call::fwrite>(f, (has_room{from, size, count}), from, size, count, f);
}
WEFT_API std::size_t _IO_fwrite(const void* from, std::size_t size, std::size_t count, FILE* f) {
    return on_file<call::_IO_fwrite>(f, (has_room{from, size, count}), from, size, count, f);
}
WEFT_API std::size_t fwrite_unlocked(const void* from, std::size_t size, std::size_t count, FILE* f) {
    return on_file<call::fwrite_unlocked, locking::no>(f, (has_room{from, size, count}), from, size, count, f);
}
WEFT_API int putw(int value, FILE* f) { return on_file<call::putw>(f, (has_room{&value, sizeof value}), value, f); }

// --- printf ---

WEFT_API int printf(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_print<call::vfprintf>(stdout, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int fprintf(FILE* f, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_print<call::vfprintf>(f, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int _IO_printf(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_print<call::vfprintf>(stdout, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int _IO_fprintf(FILE* f, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_print<call::vfprintf>(f, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int vprintf(const char* format, va_list arguments) { return on_print<call::vfprintf>(stdout, format, arguments); }
WEFT_API int vfprintf(FILE* f, const char* format, va_list arguments) { return on_print<call::vfprintf>(f, format, arguments); }
WEFT_API int _IO_vfprintf(FILE* f, const char* format, va_list arguments) {
    return on_print<call::vfprintf>(f, format, arguments);
}
WEFT_API int __printf_chk(int flag, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_print<call::__vfprintf_chk>(stdout, flag, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __fprintf_chk(FILE* f, int flag, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_print<call::__vfprintf_chk>(f, flag, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __vprintf_chk(int flag, const char* format, va_list arguments) {
    return on_print<call::__vfprintf_chk>(stdout, flag, format, arguments);
}
WEFT_API int __vfprintf_chk(FILE* f, int flag, const char* format, va_list arguments) {
    return on_print<call::__vfprintf_chk>(f, flag, format, arguments);
}

// --- printf to a descriptor ---

WEFT_API int dprintf(int fd, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_descriptor<call::vdprintf>(fd, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int vdprintf(int fd, const char* format, va_list arguments) { return on_descriptor<call::vdprintf>(fd, format, arguments); }
WEFT_API int __dprintf_chk(int fd, int flag, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = on_descriptor<call::__vdprintf_chk>(fd, flag, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __vdprintf_chk(int fd, int flag, const char* format, va_list arguments) {
    return on_descriptor<call::__vdprintf_chk>(fd, flag, format, arguments);
}

// --- Entries of system files ---

WEFT_API int putpwent(const passwd* entry, FILE* f) { return on_file<call::putpwent>(f, never{}, entry, f); }
WEFT_API int putgrent(const group* entry, FILE* f) { return on_file<call::putgrent>(f, never{}, entry, f); }
WEFT_API int putspent(const spwd* entry, FILE* f) { return on_file<call::putspent>(f, never{}, entry, f); }
WEFT_API int putsgent(const sgrp* entry, FILE* f) { return on_file<call::putsgent>(f, never{}, entry, f); }

} // extern "C"
