// SPDX-License-Identifier: Apache-2.0
#pragma once

// POSIX threads and mutexes that end with their scope.

#include <cerrno>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <pthread.h>

namespace plain {

class holding {
public:
    explicit holding(pthread_mutex_t& m) : m_(m) { ::pthread_mutex_lock(&m_); }
    holding(const holding&) = delete;
    holding& operator=(const holding&) = delete;
    ~holding() { ::pthread_mutex_unlock(&m_); }

private:
    pthread_mutex_t& m_;
};

/// Threads that are joined together.
class threads {
public:
    threads() = default;
    threads(const threads&) = delete;
    threads& operator=(const threads&) = delete;
    ~threads() { join(); }

    void start(std::function<void()> work) {
        auto given = std::make_unique<std::function<void()>>(std::move(work));
        pthread_t made{};
        const int error = ::pthread_create(&made, nullptr, &run, given.get());
        if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_create");
        static_cast<void>(given.release());
        all_.push_back(made);
    }
    void join() {
        for (const pthread_t t : std::exchange(all_, {})) ::pthread_join(t, nullptr);
    }

private:
    static void* run(void* p) {
        const std::unique_ptr<std::function<void()>> work(static_cast<std::function<void()>*>(p));
        (*work)();
        return nullptr;
    }
    std::vector<pthread_t> all_;
};

} // namespace plain
