// SPDX-License-Identifier: Apache-2.0
// The exported names of what is done to buffered files as such: stubs only.
#include "calls/stdio.hpp"
#include "core/descriptor.hpp"
#include "threads/task_files.hpp"

#include <weft/export.hpp>

using namespace weft::shim::file;
using weft::shim::call;
using weft::shim::real;
using weft::shim::serve;
using weft::shim::stdio::locking;
using weft::shim::stdio::on_file;
namespace stdio = weft::shim::stdio;
namespace task_files = weft::shim::task_files;

extern "C" {

// --- Begin and end ---

WEFT_API FILE* fopen(const char* path, const char* mode) {
    return stdio::opened(task_files::opened(serve<call::fopen>(stdio::open, path, mode), path, mode));
}
WEFT_API FILE* _IO_fopen(const char* path, const char* mode) {
    return stdio::opened(task_files::opened(serve<call::_IO_fopen>(stdio::open, path, mode), path, mode));
}
WEFT_API FILE* fopen64(const char* path, const char* mode) {
    return stdio::opened(task_files::opened(serve<call::fopen64>(stdio::open64, path, mode), path, mode));
}
WEFT_API FILE* freopen(const char* path, const char* mode, FILE* f) {
    stdio::reopening(f);
    return stdio::opened(serve<call::freopen>(stdio::reopen, path, mode, f));
}
WEFT_API FILE* freopen64(const char* path, const char* mode, FILE* f) {
    stdio::reopening(f);
    return stdio::opened(serve<call::freopen64>(stdio::reopen64, path, mode, f));
}
WEFT_API FILE* popen(const char* command, const char* mode) {
    weft::shim::descriptor::child_begins();
    return stdio::process_opened(real().popen(command, mode));
}
WEFT_API FILE* _IO_popen(const char* command, const char* mode) { return popen(command, mode); }
WEFT_API int fclose(FILE* f) { return stdio::closed(f); }
WEFT_API int _IO_fclose(FILE* f) { return stdio::closed(f); }
WEFT_API int pclose(FILE* f) { return stdio::closed(f); }
WEFT_API int fcloseall() { return serve<call::fcloseall>(stdio::close_all); }

// --- What was written, and where ---

WEFT_API int fflush(FILE* f) { return serve<call::fflush>(stdio::flush, f); }
WEFT_API int _IO_fflush(FILE* f) { return serve<call::_IO_fflush>(stdio::flush, f); }
WEFT_API int _IO_flush_all() { return serve<call::_IO_flush_all>([] { return stdio::flush_all({}); }); }
WEFT_API void _IO_flush_all_linebuffered() { serve<call::_IO_flush_all_linebuffered>(stdio::flush_lines); }
WEFT_API void _flushlbf() { serve<call::_flushlbf>(stdio::flush_lines); }
WEFT_API int fflush_unlocked(FILE* f) {
    if (f == nullptr) return fflush(f);
    return on_file<call::fflush_unlocked, locking::no>(f, flushed{}, f);
}
WEFT_API int fseek(FILE* f, long offset, int whence) { return on_file<call::fseek>(f, flushed{}, f, offset, whence); }
WEFT_API int fseeko(FILE* f, off_t offset, int whence) { return on_file<call::fseeko>(f, flushed{}, f, offset, whence); }
WEFT_API int fseeko64(FILE* f, off64_t offset, int whence) { return on_file<call::fseeko64>(f, flushed{}, f, offset, whence); }
WEFT_API long ftell(FILE* f) { return on_file<call::ftell>(f, flushed{}, f); }
WEFT_API long _IO_ftell(FILE* f) { return on_file<call::_IO_ftell>(f, flushed{}, f); }
WEFT_API off_t ftello(FILE* f) { return on_file<call::ftello>(f, flushed{}, f); }
WEFT_API off64_t ftello64(FILE* f) { return on_file<call::ftello64>(f, flushed{}, f); }
WEFT_API void rewind(FILE* f) { on_file<call::rewind>(f, flushed{}, f); }
WEFT_API int fgetpos(FILE* f, fpos_t* at) { return on_file<call::fgetpos>(f, flushed{}, f, at); }
WEFT_API int _IO_fgetpos(FILE* f, fpos_t* at) { return on_file<call::_IO_fgetpos>(f, flushed{}, f, at); }
WEFT_API int fgetpos64(FILE* f, fpos64_t* at) { return on_file<call::fgetpos64>(f, flushed{}, f, at); }
WEFT_API int _IO_fgetpos64(FILE* f, fpos64_t* at) { return on_file<call::_IO_fgetpos64>(f, flushed{}, f, at); }
WEFT_API int fsetpos(FILE* f, const fpos_t* at) { return on_file<call::fsetpos>(f, flushed{}, f, at); }
WEFT_API int _IO_fsetpos(FILE* f, const fpos_t* at) { return on_file<call::_IO_fsetpos>(f, flushed{}, f, at); }
WEFT_API int fsetpos64(FILE* f, const fpos64_t* at) { return on_file<call::fsetpos64>(f, flushed{}, f, at); }
WEFT_API int _IO_fsetpos64(FILE* f, const fpos64_t* at) { return on_file<call::_IO_fsetpos64>(f, flushed{}, f, at); }

// --- What never waits, but for a FILE that is in use ---

WEFT_API int feof(FILE* f) noexcept { return on_file<call::feof>(f, always{}, f); }
WEFT_API int ferror(FILE* f) noexcept { return on_file<call::ferror>(f, always{}, f); }
WEFT_API int _IO_ferror(FILE* f) noexcept { return on_file<call::_IO_ferror>(f, always{}, f); }
WEFT_API void clearerr(FILE* f) noexcept { on_file<call::clearerr>(f, always{}, f); }
WEFT_API int setvbuf(FILE* f, char* buffer, int mode, std::size_t size) noexcept {
    return on_file<call::setvbuf>(f, flushed{}, f, buffer, mode, size);
}
WEFT_API int _IO_setvbuf(FILE* f, char* buffer, int mode, std::size_t size) noexcept {
    return on_file<call::_IO_setvbuf>(f, flushed{}, f, buffer, mode, size);
}
WEFT_API void setbuf(FILE* f, char* buffer) noexcept { on_file<call::setbuf>(f, flushed{}, f, buffer); }
WEFT_API void setbuffer(FILE* f, char* buffer, std::size_t size) noexcept { on_file<call::setbuffer>(f, flushed{}, f, buffer, size); }
WEFT_API void _IO_setbuffer(FILE* f, char* buffer, std::size_t size) noexcept {
    on_file<call::_IO_setbuffer>(f, flushed{}, f, buffer, size);
}
WEFT_API void setlinebuf(FILE* f) noexcept { on_file<call::setlinebuf>(f, flushed{}, f); }

// --- Locks ---

WEFT_API void flockfile(FILE* f) noexcept {
    serve<call::flockfile>(stdio::lock, f);
    stdio::locked(f);
}
WEFT_API void _IO_flockfile(FILE* f) noexcept {
    serve<call::flockfile>(stdio::lock, f);
    stdio::locked(f);
}
WEFT_API int ftrylockfile(FILE* f) noexcept {
    const int result = serve<call::ftrylockfile>(stdio::try_lock, f);
    if (result == 0) stdio::locked(f);
    return result;
}
WEFT_API int _IO_ftrylockfile(FILE* f) noexcept {
    const int result = serve<call::ftrylockfile>(stdio::try_lock, f);
    if (result == 0) stdio::locked(f);
    return result;
}
WEFT_API void funlockfile(FILE* f) noexcept { stdio::unlock(f); }
WEFT_API void _IO_funlockfile(FILE* f) noexcept { stdio::unlock(f); }

} // extern "C"
