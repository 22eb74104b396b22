// SPDX-License-Identifier: Apache-2.0
// A megabyte of thread-local variables, in the blocks that libc makes on demand, or, with -DSTATIC_TLS, more than it has spare room for.
#ifdef STATIC_TLS
#define MODEL __attribute__((tls_model("initial-exec")))
#else
#define MODEL
#endif
enum { size = 1 << 20 };
static __thread char large[size] MODEL = {1};
static __thread char* self MODEL;
int large_sum(void);
char* large_address(void);

/// 1 in a fresh thread, then one more each time, at either end and in the middle.
int large_sum(void) {
    if (!self) self = large;
    const int sum = large[0] + large[size / 2] + large[size - 1];
    large[size / 2] += sum == 1;
    large[size - 1] += sum == 2;
    return self == large ? sum : -1;
}
char* large_address(void) { return large; }
