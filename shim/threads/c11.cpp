// SPDX-License-Identifier: Apache-2.0
// C11's locks are pthread's under other names, with results of their own.
#include "core/serve.hpp"
#include "threads/cond.hpp"
#include "threads/mutex.hpp"
#include "threads/once.hpp"

#include <weft/export.hpp>

namespace weft::shim::c11 {

namespace {

int result_of(int error) noexcept {
    switch (error) {
    case 0: return thrd_success;
    case EBUSY: return thrd_busy;
    case ETIMEDOUT: return thrd_timedout;
    case ENOMEM: return thrd_nomem;
    default: return thrd_error;
    }
}

pthread_mutex_t* of(mtx_t* m) noexcept { return reinterpret_cast<pthread_mutex_t*>(m); }
pthread_cond_t* of(cnd_t* c) noexcept { return reinterpret_cast<pthread_cond_t*>(c); }

int lock(mtx_t* m) noexcept { return result_of(mutex::lock(of(m))); }
int timedlock(mtx_t* m, const timespec* at) noexcept { return result_of(mutex::timedlock(of(m), at)); }
int trylock(mtx_t* m) noexcept { return result_of(mutex::trylock(of(m))); }
int unlock(mtx_t* m) noexcept { return result_of(mutex::unlock(of(m))); }
int wait(cnd_t* c, mtx_t* m) { return result_of(cond::wait(of(c), of(m))); }
int timedwait(cnd_t* c, mtx_t* m, const timespec* at) { return result_of(cond::timedwait(of(c), of(m), at)); }
int signal(cnd_t* c) noexcept { return result_of(cond::signal(of(c))); }
int broadcast(cnd_t* c) noexcept { return result_of(cond::broadcast(of(c))); }
void run_once(once_flag* flag, void (*routine)()) { once::run(reinterpret_cast<pthread_once_t*>(flag), routine); }

} // namespace

} // namespace weft::shim::c11

using weft::shim::call;
using weft::shim::serve_everywhere;
namespace policy = weft::shim::c11;

extern "C" {

WEFT_API int mtx_lock(mtx_t* m) { return serve_everywhere<call::mtx_lock>(policy::lock, m); }
WEFT_API int mtx_timedlock(mtx_t* m, const timespec* at) { return serve_everywhere<call::mtx_timedlock>(policy::timedlock, m, at); }
WEFT_API int mtx_trylock(mtx_t* m) { return serve_everywhere<call::mtx_trylock>(policy::trylock, m); }
WEFT_API int mtx_unlock(mtx_t* m) { return serve_everywhere<call::mtx_unlock>(policy::unlock, m); }
WEFT_API int cnd_wait(cnd_t* c, mtx_t* m) { return serve_everywhere<call::cnd_wait>(policy::wait, c, m); }
WEFT_API int cnd_timedwait(cnd_t* c, mtx_t* m, const timespec* at) {
    return serve_everywhere<call::cnd_timedwait>(policy::timedwait, c, m, at);
}
WEFT_API int cnd_signal(cnd_t* c) { return serve_everywhere<call::cnd_signal>(policy::signal, c); }
WEFT_API int cnd_broadcast(cnd_t* c) { return serve_everywhere<call::cnd_broadcast>(policy::broadcast, c); }
WEFT_API void call_once(once_flag* flag, void (*routine)()) { serve_everywhere<call::call_once>(policy::run_once, flag, routine); }

} // extern "C"
