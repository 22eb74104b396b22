// SPDX-License-Identifier: Apache-2.0
#include "core/tls_layout.hpp"

#include "core/sanitizer.hpp"
#include "core/sys.hpp"
#include "core/thread_pointer.hpp"
#include "core/thread_state.hpp"

#include <cerrno>
#include <cstring>
#include <cxxabi.h>

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <resolv.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/rseq.h>

namespace weft::rt {

namespace {

template <class T>
T symbol(const char* name) noexcept {
    return reinterpret_cast<T>(::dlsym(RTLD_DEFAULT, name));
}

/// What libc exports for debuggers of a member: bits of one element, how many, offset.
bool member(const char* name, std::uint32_t bits, std::ptrdiff_t& offset) noexcept {
    const auto* m = symbol<const std::uint32_t*>(name);
    if (m == nullptr || m[0] != bits || m[2] < 64 || m[2] > 8192 || m[2] % 4 != 0) return false;
    offset = static_cast<std::ptrdiff_t>(m[2]);
    return true;
}

template <class T>
T at(const char* base, std::ptrdiff_t offset) noexcept {
    T value;
    std::memcpy(&value, base + offset, sizeof value);
    return value;
}

std::ptrdiff_t from_pointer(const void* p) noexcept { return static_cast<const char*>(p) - thread_pointer(); }

/// Whether the calling thread's descriptor is as the layout says.
const char* check_descriptor(const tls_layout& l) noexcept {
    const char* const self = thread_pointer();
    if (at<const char*>(self, 0) != self || at<const char*>(self, 0x10) != self) return "the thread pointer does not point to itself";
    if (at<int>(self, l.tid) != sys::gettid()) return "the tid is not where libc says";
    if (at<const char*>(self, l.specific) != self + l.first_keys) return "the keys' values are not where libc says";
    const char* head = nullptr;
    std::size_t length = 0;
    if (sys::call(SYS_get_robust_list, 0, sys::arg(&head), sys::arg(&length)) != 0 || head - self != l.robust)
        return "the robust list is not where it was";
    const char* next = at<const char*>(self, l.list);
    if (next == nullptr || at<const char*>(next, sizeof(void*)) != self + l.list) return "the list of threads is not where libc says";
    if (from_pointer(&errno) != l.errno_at || from_pointer(__cxxabiv1::__cxa_get_globals()) != l.exceptions || from_pointer(&this_thread_state) != l.state)
        return "thread-local variables lie elsewhere in another thread";
    return nullptr;
}

struct second_look {
    tls_layout& layout;
    const char* wrong = nullptr;
};

/// On a thread that libc has just made.
void* look_at_thread(void* argument) noexcept {
    sys::call(SYS_prctl, PR_SET_NAME, sys::arg("weft-look")); // none of the program's (own_thread.hpp)
    auto& look = *static_cast<second_look*>(argument);
    tls_layout& l = look.layout;
    look.wrong = check_descriptor(l);
    l.resolver = from_pointer(__res_state());
    l.multiple_threads = at<int>(thread_pointer(), 0x18);
    if (look.wrong == nullptr && (l.resolver <= 0 || l.resolver + static_cast<std::ptrdiff_t>(sizeof(struct __res_state)) > static_cast<std::ptrdiff_t>(l.descriptor)))
        look.wrong = "the resolver's state lies elsewhere";
    return nullptr;
}

} // namespace

const char* find_tls_layout(tls_layout& l) noexcept {
    if constexpr (sanitizer::tsan) return "ThreadSanitizer keeps its own state in the kernel thread's TLS";
    constexpr unsigned long user_code_may_write_fs_base = 2; // AT_HWCAP2
    can_write_thread_pointer = (::getauxval(AT_HWCAP2) & user_code_may_write_fs_base) != 0;

    using static_info = void (*)(std::size_t*, std::size_t*);
    const auto info = symbol<static_info>("_dl_get_tls_static_info");
    l.allocate = symbol<void* (*)(void*)>("_dl_allocate_tls");
    l.deallocate = symbol<void (*)(void*, bool)>("_dl_deallocate_tls");
    l.ctype_init = symbol<void (*)()>("__ctype_init");
    l.call_destructors = symbol<void (*)()>("__call_tls_dtors");
    l.keys = symbol<const tls_layout::key*>("__pthread_keys");
    const auto* const descriptor = symbol<const std::uint32_t*>("_thread_db_sizeof_pthread");
    const auto* const key_size = symbol<const std::uint32_t*>("_thread_db_sizeof_pthread_key_struct");
    const auto* const data_size = symbol<const std::uint32_t*>("_thread_db_sizeof_pthread_key_data");
    if (info == nullptr || l.allocate == nullptr || l.deallocate == nullptr || l.ctype_init == nullptr || l.call_destructors == nullptr ||
        l.keys == nullptr || descriptor == nullptr || key_size == nullptr || data_size == nullptr)
        return "libc does not export what is needed";
    if (*key_size != sizeof(tls_layout::key) || *data_size != sizeof(tls_layout::key_data)) return "keys have another form";
    info(&l.size, &l.alignment);
    l.descriptor = *descriptor;
    if (l.descriptor < 1024 || l.descriptor > 16384 || l.size < l.descriptor || l.alignment == 0) return "the descriptor has an unlikely size";
    if (!member("_thread_db_pthread_tid", 32, l.tid) || !member("_thread_db_pthread_list", 128, l.list) ||
        !member("_thread_db_pthread_specific", 32 * 64, l.specific) || !member("_thread_db_pthread_cancelhandling", 32, l.cancel))
        return "libc does not say where members lie";
    l.first_keys = l.specific - static_cast<std::ptrdiff_t>(tls_layout::keys_a_block * sizeof(tls_layout::key_data));
    // A head without a list that goes round is none.
    const auto* const user = symbol<const std::uint32_t*>("_thread_db_rtld_global__dl_stack_user");
    char* const global = symbol<char*>("_rtld_global");
    if (user == nullptr || global == nullptr || user[2] > 65536) return "libc does not say where its threads are";
    l.threads_by_hand = global + user[2];
    Dl_info object{};
    ElfW(Sym)* variable = nullptr;
    if (::dladdr1(global, &object, reinterpret_cast<void**>(&variable), RTLD_DL_SYMENT) != 0 && variable != nullptr) {
        l.loader = global;
        l.loader_end = global + variable->st_size;
    }
    for (const char *n = at<const char*>(l.threads_by_hand, 0), *before = l.threads_by_hand; n != l.threads_by_hand; n = at<const char*>(n, 0)) {
        if (n == nullptr || at<const char*>(n, sizeof(void*)) != before) return "the list of threads is not where libc says";
        before = n;
    }
    char* head = nullptr;
    std::size_t length = 0;
    if (sys::call(SYS_get_robust_list, 0, sys::arg(&head), sys::arg(&length)) != 0) return "the kernel names no robust list";
    l.robust = head - thread_pointer();
    if (l.robust < 64 || l.robust > 8192) return "the robust list lies elsewhere";
    if (__rseq_size != 0) l.rseq_cpu = __rseq_offset + static_cast<std::ptrdiff_t>(offsetof(struct rseq, cpu_id));
    const void* const resolver_pointer = ::dlsym(RTLD_DEFAULT, "__resp");
    if (resolver_pointer == nullptr) return "libc does not export what is needed";
    l.resolver_pointer = from_pointer(resolver_pointer);
    l.state = from_pointer(&this_thread_state);
    l.errno_at = from_pointer(&errno);
    l.exceptions = from_pointer(__cxxabiv1::__cxa_get_globals());
    if (const char* wrong = check_descriptor(l); wrong != nullptr) return wrong;

    second_look look{l};
    pthread_attr_t attributes;
    pthread_t thread{};
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, 256 * 1024 + l.size);
    const int made = ::pthread_create(&thread, &attributes, look_at_thread, &look);
    ::pthread_attr_destroy(&attributes);
    if (made != 0) return "no kernel thread could be made to look at";
    ::pthread_join(thread, nullptr);
    return look.wrong;
}

} // namespace weft::rt
