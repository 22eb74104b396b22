// SPDX-License-Identifier: Apache-2.0
// C++20's thread_local objects: made when first used, destroyed in their order, each thread its own; and static
// locals that several threads want first.
#include "cases.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <clocale>
#include <cstdlib>
#include <ctime>
#include <latch>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;

namespace {

std::mutex order_guard;
std::string order;

void note(const std::string& what) {
    std::lock_guard lock(order_guard);
    order += what + ' ';
}

void tell_order() {
    std::lock_guard lock(order_guard);
    std::puts(order.c_str());
    order.clear();
}

struct traced {
    std::string name;
    int value = 0;
    explicit traced(const char* n) : name(n) { note("+" + name); }
    ~traced() {
        std::this_thread::sleep_for(1ms);
        note("-" + name);
    }
};

thread_local traced first("first"), second("second");
thread_local int counter = 40;
thread_local std::string text = "as it begins";
thread_local char zeros[5000];

void made_in_use_destroyed_in_reverse() {
    std::thread([] {
        note("begin");
        second.value = 1; // both are made here, in the order of the file
        thread_local traced inner("inner");
        inner.value = 1;
        note("end");
    }).join();
    tell_order();
    std::thread([] { note("nothing used"); }).join();
    tell_order();
}

void each_thread_its_own() {
    std::latch all(20);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 20; ++i)
        threads.emplace_back([&, i] {
            wrong += counter != 40 || text != "as it begins" || zeros[4999] != 0;
            counter += i;
            text += std::to_string(i);
            zeros[4999] = 'z';
            all.arrive_and_wait();
            std::this_thread::sleep_for(1ms);
            wrong += counter != 40 + i || text != "as it begins" + std::to_string(i);
        });
    for (auto& t : threads) t.join();
    std::printf("wrong %d, main's: %d %s\n", wrong.load(), counter, text.c_str());
    for (int i = 0; i < 100; ++i)
        std::thread([&] {
            wrong += counter != 40 || text != "as it begins" || zeros[4999] != 0;
            counter = -1;
            text = "used";
            zeros[4999] = 'u';
        }).join();
    std::printf("wrong in those that follow: %d\n", wrong.load());
}

void destroyed_before_join_returns() {
    static std::atomic<int> alive = 0;
    struct counted {
        int dummy = 0;
        counted() { ++alive; }
        ~counted() {
            std::this_thread::sleep_for(2ms);
            --alive;
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i)
        threads.emplace_back([] {
            static thread_local counted c;
            c.dummy = 1;
        });
    for (auto& t : threads) t.join();
    std::printf("alive %d\n", alive.load());
}

// A destructor may make others: they go before the thread ends.
void destructors_that_make_others() {
    struct late {
        int dummy = 0;
        ~late() { note("-late"); }
    };
    struct early {
        int dummy = 0;
        ~early() {
            note("-early");
            static thread_local late l;
            l.dummy = 1;
        }
    };
    std::thread([] {
        static thread_local early e;
        e.dummy = 1;
    }).join();
    tell_order();
}

// Keys of POSIX come after thread_locals, and are given several rounds.
pthread_key_t key;
int rounds;

void keys_and_locals() {
    pthread_key_create(&key, [](void* value) {
        note("key" + std::to_string(++rounds));
        if (rounds < 3) pthread_setspecific(key, value);
    });
    std::thread([] {
        pthread_setspecific(key, &rounds);
        first.value = 1;
    }).join();
    tell_order();
    pthread_key_delete(key);
}

void locals_at_pthread_exit() {
    pthread_t id;
    pthread_create(&id, nullptr, [](void*) -> void* {
        first.value = 2;
        struct guard {
            ~guard() { note("unwound"); }
        } unwound;
        pthread_exit(nullptr);
    }, nullptr);
    pthread_join(id, nullptr);
    tell_order();
}

struct slow_start {
    int made_by;
    explicit slow_start(std::atomic<int>& made) {
        std::this_thread::sleep_for(5ms);
        made_by = ++made;
    }
};

void static_locals_are_made_once() {
    std::atomic<int> made = 0, sum = 0;
    std::latch all(16);
    std::vector<std::thread> threads;
    for (int i = 0; i < 16; ++i)
        threads.emplace_back([&] {
            all.arrive_and_wait();
            static slow_start s(made);
            sum += s.made_by;
        });
    for (auto& t : threads) t.join();
    std::printf("made %d sum %d\n", made.load(), sum.load());
}

void static_locals_that_throw_are_tried_again() {
    std::atomic<int> tries = 0, thrown = 0, right = 0;
    auto use = [&] {
        static int value = [&] {
            std::this_thread::sleep_for(1ms);
            if (++tries < 4) throw std::runtime_error("again");
            return 11;
        }();
        return value;
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i)
        threads.emplace_back([&] {
            try {
                right += use() == 11;
            } catch (const std::runtime_error&) {
                ++thrown;
            }
        });
    for (auto& t : threads) t.join();
    std::printf("tries %d thrown %d right %d\n", tries.load(), thrown.load(), right.load());
}

void libc_keeps_state_per_thread() {
    std::atomic<int> wrong = 0;
    std::latch all(10);
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i)
        threads.emplace_back([&, i] {
            locale_t own = newlocale(LC_ALL_MASK, i % 2 ? "C" : "C.UTF-8", nullptr);
            errno = 1000 + i;
            uselocale(own);
            char words[] = "a b c", *state = nullptr;
            wrong += strtok_r(words, " ", &state) != words;
            void* block = std::malloc(100 + static_cast<std::size_t>(i));
            const int before = errno;
            all.arrive_and_wait();
            wrong += before != 1000 + i || uselocale(nullptr) != own || MB_CUR_MAX != (i % 2 ? 1 : 6);
            errno = 1000 + i;
            std::this_thread::yield();
            wrong += errno != 1000 + i;
            wrong += std::string(strerror(900 + i)) != "Unknown error " + std::to_string(900 + i);
            std::free(block);
            uselocale(LC_GLOBAL_LOCALE);
            freelocale(own);
        });
    for (auto& t : threads) t.join();
    std::printf("wrong %d\n", wrong.load());
}

constexpr named_case cases[] = {
    {"made_in_use_destroyed_in_reverse", made_in_use_destroyed_in_reverse},
    {"each_thread_its_own", each_thread_its_own},
    {"destroyed_before_join_returns", destroyed_before_join_returns},
    {"destructors_that_make_others", destructors_that_make_others},
    {"keys_and_locals", keys_and_locals},
    {"locals_at_pthread_exit", locals_at_pthread_exit},
    {"static_locals_are_made_once", static_locals_are_made_once},
    {"static_locals_that_throw_are_tried_again", static_locals_that_throw_are_tried_again},
    {"libc_keeps_state_per_thread", libc_keeps_state_per_thread},
};

} // namespace

int main(int argc, char** argv) { return run_case(argc, argv, cases); }
