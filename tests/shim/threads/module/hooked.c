// SPDX-License-Identifier: Apache-2.0
// What loader.c loads, under two names: its constructor and destructor do what the program says, and it has thread-local variables of both models.
void module_begins(void (*use)(int)) __attribute__((weak));
void module_ends(void) __attribute__((weak));
int module_use(int n);

static __thread int early __attribute__((tls_model("initial-exec"))) = 500;
static __thread int late __attribute__((tls_model("global-dynamic"))) = 30;
int module_uses;

/// 530 for a thread that has not called it before; plus all n of its calls.
int module_use(int n) {
    const int was = early + late;
    early += n;
    __atomic_fetch_add(&module_uses, 1, __ATOMIC_RELAXED);
    return was;
}

static void use(int n) { module_use(n); }

__attribute__((constructor)) static void construct(void) {
    if (module_begins) module_begins(use);
}
__attribute__((destructor)) static void destruct(void) {
    if (module_ends) module_ends();
}
