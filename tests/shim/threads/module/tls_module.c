// SPDX-License-Identifier: Apache-2.0
// What tls_dlopen.c loads: thread-local variables, found by a call, or, with -DSTATIC_TLS, in what room libc leaves beside the program's own.
#include <string.h>

#ifdef STATIC_TLS
enum { size = 200 };
#define MODEL __attribute__((tls_model("initial-exec")))
#else
enum { size = 200000 };
#define MODEL
#endif

static __thread int general MODEL = 11;
static __thread int early MODEL = 22;
static __thread char large[size] MODEL = {'m', 'n'};

int module_check(int value);
int* module_address(void);

/// 0: all is as in a fresh thread; then it is changed to `value`, and `value` is what it must be from then on.
int module_check(int value) {
    if (general == 11 && early == 22 && large[0] == 'm' && large[1] == 'n' && large[size - 1] == 0) {
        general = early = value;
        memset(large, value, size);
        return 0;
    }
    return general == value && early == value && large[0] == (char)value && large[size - 1] == (char)value ? value : -1;
}

int* module_address(void) { return &general; }
