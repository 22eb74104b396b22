// SPDX-License-Identifier: Apache-2.0
// The exported names of the process family: stubs only, the policy is behind them.
#include "calls/process.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

using weft::shim::call;
using weft::shim::serve;
namespace process = weft::shim::process;

extern "C" {

WEFT_API pid_t wait(int* status) { return serve<call::wait>(process::wait, status); }
WEFT_API pid_t __wait(int* status) { return serve<call::__wait>(process::wait, status); }
WEFT_API pid_t waitpid(pid_t pid, int* status, int options) {
    return serve<call::waitpid>(process::waitpid, pid, status, options);
}
WEFT_API pid_t __waitpid(pid_t pid, int* status, int options) {
    return serve<call::__waitpid>(process::waitpid, pid, status, options);
}
WEFT_API pid_t wait3(int* status, int options, rusage* usage) noexcept {
    return serve<call::wait3>(process::wait3, status, options, usage);
}
WEFT_API pid_t wait4(pid_t pid, int* status, int options, rusage* usage) noexcept {
    return serve<call::wait4>(process::wait4, pid, status, options, usage);
}
WEFT_API int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
    return serve<call::waitid>([](auto... a) noexcept { return process::waitid(a..., nullptr); }, type, id, info, options);
}

} // extern "C"
