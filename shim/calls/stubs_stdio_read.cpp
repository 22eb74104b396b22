// SPDX-License-Identifier: Apache-2.0
// The exported names of buffered input: stubs only.
#include "calls/stdio.hpp"

#include <weft/export.hpp>

using namespace weft::shim::file;
using weft::shim::call;
using weft::shim::stdio::input;
using weft::shim::stdio::locking;
using weft::shim::stdio::on_file;

extern "C" {

// --- Characters ---

WEFT_API int fgetc(FILE* f) { return input<call::fgetc>(f, holds{1}, f); }
WEFT_API int getc(FILE* f) { return input<call::getc>(f, holds{1}, f); }
WEFT_API int _IO_getc(FILE* f) { return input<call::_IO_getc>(f, holds{1}, f); }
WEFT_API int fgetc_unlocked(FILE* f) { return input<call::fgetc_unlocked, locking::no>(f, holds{1}, f); }
WEFT_API int getc_unlocked(FILE* f) { return input<call::getc_unlocked, locking::no>(f, holds{1}, f); }
WEFT_API int getchar() { return input<call::getc>(stdin, holds{1}, stdin); }
WEFT_API int getchar_unlocked() { return input<call::getc_unlocked, locking::no>(stdin, holds{1}, stdin); }
WEFT_API int __uflow(FILE* f) { return input<call::__uflow, locking::no>(f, holds{1}, f); }
WEFT_API int __underflow(FILE* f) { return input<call::__underflow, locking::no>(f, holds{1}, f); }
WEFT_API int getw(FILE* f) { return input<call::getw>(f, holds{sizeof(int)}, f); }
WEFT_API int ungetc(int byte, FILE* f) { return on_file<call::ungetc>(f, flushed{}, byte, f); }
WEFT_API int _IO_ungetc(int byte, FILE* f) { return on_file<call::_IO_ungetc>(f, flushed{}, byte, f); }

// --- Lines and blocks ---

WEFT_API char* fgets(char* line, int size, FILE* f) {
    return input<call::fgets>(f, holds_line{static_cast<std::size_t>(size)}, line, size, f);
}
WEFT_API char* _IO_fgets(char* line, int size, FILE* f) {
    return input<call::_IO_fgets>(f, holds_line{static_cast<std::size_t>(size)}, line, size, f);
}
WEFT_API char* fgets_unlocked(char* line, int size, FILE* f) {
    return input<call::fgets_unlocked, locking::no>(f, holds_line{static_cast<std::size_t>(size)}, line, size, f);
}
WEFT_API char* __fgets_chk(char* line, std::size_t capacity, int size, FILE* f) {
    return input<call::__fgets_chk>(f, holds_line{static_cast<std::size_t>(size)}, line, capacity, size, f);
}
WEFT_API char* __fgets_unlocked_chk(char* line, std::size_t capacity, int size, FILE* f) {
    return input<call::__fgets_unlocked_chk, locking::no>(f, holds_line{static_cast<std::size_t>(size)}, line, capacity, size, f);
}
WEFT_API char* gets(char* line) { return input<call::gets>(stdin, holds_line{}, line); }
WEFT_API char* _IO_gets(char* line) { return input<call::_IO_gets>(stdin, holds_line{}, line); }
WEFT_API char* __gets_chk(char* line, std::size_t capacity) { return input<call::__gets_chk>(stdin, holds_line{}, line, capacity); }
WEFT_API std::size_t fread(void* to, std::size_t size, std::size_t count, FILE* f) {
    return input<call::fread>(f, (holds{size, count}), to, size, count, f);
}
WEFT_API std::size_t _IO_fread(void* to, std::size_t size, std::size_t count, FILE* f) {
    return input<call::_IO_fread>(f, (holds{size, count}), to, size, count, f);
}
WEFT_API std::size_t fread_unlocked(void* to, std::size_t size, std::size_t count, FILE* f) {
    return input<call::fread_unlocked, locking::no>(f, (holds{size, count}), to, size, count, f);
}
WEFT_API std::size_t __fread_chk(void* to, std::size_t capacity, std::size_t size, std::size_t count, FILE* f) {
    return input<call::__fread_chk>(f, (holds{size, count}), to, capacity, size, count, f);
}
WEFT_API std::size_t __fread_unlocked_chk(void* to, std::size_t capacity, std::size_t size, std::size_t count, FILE* f) {
    return input<call::__fread_unlocked_chk, locking::no>(f, (holds{size, count}), to, capacity, size, count, f);
}
WEFT_API ssize_t getline(char** line, std::size_t* size, FILE* f) { return input<call::getline>(f, holds_line{}, line, size, f); }
WEFT_API ssize_t getdelim(char** line, std::size_t* size, int end, FILE* f) {
    return input<call::getdelim>(f, (holds_line{0, end}), line, size, end, f);
}
WEFT_API ssize_t __getdelim(char** line, std::size_t* size, int end, FILE* f) {
    return input<call::__getdelim>(f, (holds_line{0, end}), line, size, end, f);
}

// --- scanf ---

// Declarations send these to their __isoc99 forms, but older programs import them.
WEFT_API int gnu_scanf(const char* format, ...) __asm__("scanf");
WEFT_API int gnu_fscanf(FILE* f, const char* format, ...) __asm__("fscanf");
WEFT_API int gnu_vscanf(const char* format, va_list arguments) __asm__("vscanf");
WEFT_API int gnu_vfscanf(FILE* f, const char* format, va_list arguments) __asm__("vfscanf");

WEFT_API int gnu_scanf(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::vfscanf>(stdin, never{}, stdin, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int gnu_fscanf(FILE* f, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::vfscanf>(f, never{}, f, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int gnu_vscanf(const char* format, va_list arguments) { return input<call::vfscanf>(stdin, never{}, stdin, format, arguments); }
WEFT_API int gnu_vfscanf(FILE* f, const char* format, va_list arguments) { return input<call::vfscanf>(f, never{}, f, format, arguments); }
WEFT_API int __isoc99_scanf(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::__isoc99_vfscanf>(stdin, never{}, stdin, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __isoc99_fscanf(FILE* f, const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int n = input<call::__isoc99_vfscanf>(f, never{}, f, format, rest);
    va_end(rest);
    return n;
}
WEFT_API int __isoc99_vscanf(const char* format, va_list arguments) {
    return input<call::__isoc99_vfscanf>(stdin, never{}, stdin, format, arguments);
}
WEFT_API int __isoc99_vfscanf(FILE* f, const char* format, va_list arguments) {
    return input<call::__isoc99_vfscanf>(f, never{}, f, format, arguments);
}
WEFT_API int __vfscanf(FILE* f, const char* format, va_list arguments) { return input<call::__vfscanf>(f, never{}, f, format, arguments); }

// --- Entries of system files ---

WEFT_API passwd* fgetpwent(FILE* f) { return input<call::fgetpwent>(f, never{}, f); }
WEFT_API int fgetpwent_r(FILE* f, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    return input<call::fgetpwent_r>(f, never{}, f, entry, buffer, size, found);
}
WEFT_API group* fgetgrent(FILE* f) { return input<call::fgetgrent>(f, never{}, f); }
WEFT_API int fgetgrent_r(FILE* f, group* entry, char* buffer, std::size_t size, group** found) {
    return input<call::fgetgrent_r>(f, never{}, f, entry, buffer, size, found);
}
WEFT_API spwd* fgetspent(FILE* f) { return input<call::fgetspent>(f, never{}, f); }
WEFT_API int fgetspent_r(FILE* f, spwd* entry, char* buffer, std::size_t size, spwd** found) {
    return input<call::fgetspent_r>(f, never{}, f, entry, buffer, size, found);
}
WEFT_API sgrp* fgetsgent(FILE* f) { return input<call::fgetsgent>(f, never{}, f); }
WEFT_API int fgetsgent_r(FILE* f, sgrp* entry, char* buffer, std::size_t size, sgrp** found) {
    return input<call::fgetsgent_r>(f, never{}, f, entry, buffer, size, found);
}
WEFT_API mntent* getmntent(FILE* f) { return input<call::getmntent>(f, never{}, f); }
WEFT_API mntent* getmntent_r(FILE* f, mntent* entry, char* buffer, int size) {
    return input<call::getmntent_r>(f, never{}, f, entry, buffer, size);
}

} // extern "C"
