// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names of buffered files and the log that libc exports without declaring them, or declares in other modes of the compiler only.

#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cwchar>

#include <aliases.h>
#include <err.h>
#include <error.h>
#include <fmtmsg.h>
#include <grp.h>
#include <gshadow.h>
#include <mntent.h>
#include <netdb.h>
#include <netinet/ether.h>
#include <pwd.h>
#include <rpc/netdb.h>
#include <shadow.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <syslog.h>
#include <wchar.h>
#include <wordexp.h>

extern "C" {
// What programs import that were built with getc_unlocked as a macro, with fortify, or as C99.
int _IO_getc(FILE* f);
int _IO_putc(int byte, FILE* f);
int __uflow(FILE* f);
int __underflow(FILE* f);
int __overflow(FILE* f, int byte);
std::wint_t __wuflow(FILE* f);
std::wint_t __wunderflow(FILE* f);
std::wint_t __woverflow(FILE* f, std::wint_t character);
char* gets(char* line);
char* __gets_chk(char* line, std::size_t capacity);
char* __fgets_chk(char* line, std::size_t capacity, int size, FILE* f);
char* __fgets_unlocked_chk(char* line, std::size_t capacity, int size, FILE* f);
std::size_t __fread_chk(void* to, std::size_t capacity, std::size_t size, std::size_t count, FILE* f);
std::size_t __fread_unlocked_chk(void* to, std::size_t capacity, std::size_t size, std::size_t count, FILE* f);
wchar_t* __fgetws_chk(wchar_t* line, std::size_t capacity, int size, FILE* f);
wchar_t* __fgetws_unlocked_chk(wchar_t* line, std::size_t capacity, int size, FILE* f);
int __printf_chk(int flag, const char* format, ...);
int __vprintf_chk(int flag, const char* format, va_list arguments);
int __fprintf_chk(FILE* f, int flag, const char* format, ...);
int __vfprintf_chk(FILE* f, int flag, const char* format, va_list arguments);
int __dprintf_chk(int fd, int flag, const char* format, ...);
int __vdprintf_chk(int fd, int flag, const char* format, va_list arguments);
int __wprintf_chk(int flag, const wchar_t* format, ...);
int __vwprintf_chk(int flag, const wchar_t* format, va_list arguments);
int __fwprintf_chk(FILE* f, int flag, const wchar_t* format, ...);
int __vfwprintf_chk(FILE* f, int flag, const wchar_t* format, va_list arguments);
void __syslog_chk(int priority, int flag, const char* format, ...);
void __vsyslog_chk(int priority, int flag, const char* format, va_list arguments);
int __isoc99_scanf(const char* format, ...);
int __isoc99_vscanf(const char* format, va_list arguments);
int __isoc99_fscanf(FILE* f, const char* format, ...);
int __isoc99_vfscanf(FILE* f, const char* format, va_list arguments);
int __vfscanf(FILE* f, const char* format, va_list arguments);
int __isoc99_wscanf(const wchar_t* format, ...);
int __isoc99_vwscanf(const wchar_t* format, va_list arguments);
int __isoc99_fwscanf(FILE* f, const wchar_t* format, ...);
int __isoc99_vfwscanf(FILE* f, const wchar_t* format, va_list arguments);
ssize_t __getdelim(char** line, std::size_t* size, int end, FILE* f);
// Second names of old.
char* _IO_fgets(char* line, int size, FILE* f);
char* _IO_gets(char* line);
std::size_t _IO_fread(void* to, std::size_t size, std::size_t count, FILE* f);
std::size_t _IO_fwrite(const void* from, std::size_t size, std::size_t count, FILE* f);
int _IO_ungetc(int byte, FILE* f);
int _IO_fputs(const char* text, FILE* f);
int _IO_puts(const char* text);
int _IO_printf(const char* format, ...);
int _IO_fprintf(FILE* f, const char* format, ...);
int _IO_vfprintf(FILE* f, const char* format, va_list arguments);
int _IO_fflush(FILE* f);
int _IO_flush_all();
void _IO_flush_all_linebuffered();
long _IO_ftell(FILE* f);
int _IO_fgetpos(FILE* f, fpos_t* at);
int _IO_fgetpos64(FILE* f, fpos64_t* at);
int _IO_fsetpos(FILE* f, const fpos_t* at);
int _IO_fsetpos64(FILE* f, const fpos64_t* at);
int _IO_ferror(FILE* f) noexcept;
int _IO_setvbuf(FILE* f, char* buffer, int mode, std::size_t size) noexcept;
void _IO_setbuffer(FILE* f, char* buffer, std::size_t size) noexcept;
FILE* _IO_fopen(const char* path, const char* mode);
int _IO_fclose(FILE* f);
FILE* _IO_popen(const char* command, const char* mode);
void _IO_flockfile(FILE* f) noexcept;
int _IO_ftrylockfile(FILE* f) noexcept;
void _IO_funlockfile(FILE* f) noexcept;
}
