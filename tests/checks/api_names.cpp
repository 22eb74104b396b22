// SPDX-License-Identifier: Apache-2.0
// Every name of the public API, used as it is documented. What each means is for the other tests; here it is there, takes what it should and
// gives what it should.
#include <weft/weft.hpp>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <mutex>
#include <ranges>
#include <shared_mutex>
#include <source_location>
#include <sstream>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;
namespace this_fiber = weft::this_fiber;

namespace {

template <class Expected, class Got>
void gives(Got&&) {
    static_assert(std::is_same_v<Expected, Got>);
}
template <class Derived, class Base>
constexpr bool is_a = std::is_base_of_v<Base, Derived>;
template <class T>
constexpr bool stays = !std::is_copy_constructible_v<T> && !std::is_move_constructible_v<T> && !std::is_copy_assignable_v<T> && !std::is_move_assignable_v<T>;
template <class T>
constexpr bool copies = std::is_copy_constructible_v<T> && std::is_copy_assignable_v<T>;

int twice(int n) { return 2 * n; }

void must(bool ok, std::source_location at = std::source_location::current()) {
    if (ok) return;
    std::fprintf(stderr, "not so: line %u\n", static_cast<unsigned>(at.line()));
    std::exit(1);
}
template <class Error, class F>
void throws(F call, std::source_location at = std::source_location::current()) {
    try {
        call();
    } catch (const Error&) {
        return;
    }
    must(false, at);
}

void names_of_deadlines_and_errors() {
    weft::deadline never;
    for (weft::deadline d : {weft::deadline(1h), weft::deadline(0.5s), weft::deadline(std::chrono::steady_clock::now() + 1h),
                             weft::deadline(std::chrono::system_clock::now() + 1h), weft::deadline(std::chrono::nanoseconds::max())})
        must(!d.expired());
    must(weft::deadline(std::chrono::nanoseconds::max()).is_never());
    must(weft::deadline(-1s).expired());
    must(never.is_never());
    static_assert(std::is_convertible_v<std::chrono::minutes, weft::deadline> && !std::is_convertible_v<int, weft::deadline>);
    static_assert(!is_a<weft::fiber_exit, std::exception>);
    static_assert(is_a<weft::timeout_error, std::runtime_error> && is_a<weft::fiber_killed, std::runtime_error> && is_a<weft::deadlock_error, std::logic_error>);
    static_assert(is_a<weft::queue_empty, std::runtime_error> && is_a<weft::queue_full, std::runtime_error> && is_a<weft::queue_shutdown, std::runtime_error>);
}

void names_of_fibers() {
    auto f = weft::spawn(twice, 21);
    gives<weft::fiber<int>>(weft::spawn(twice, 1));
    auto g = weft::spawn({.name = "crawl", .stack_size = 64 * 1024, .own_tls = false}, [] {});
    auto h = weft::spawn_later(200ms, twice, 1);
    const weft::fiber_options options;
    must(options.name.empty() && options.stack_size == 0 && !options.own_tls);
    gives<bool>(f.join(10s));
    gives<int&>(f.get(10s));
    gives<int>(weft::spawn(twice, 1).get());
    static_assert(std::is_void_v<decltype(g.get())>);
    gives<bool>(h.kill(10s));
    gives<bool>(h.kill_with(std::make_exception_ptr(1), 10s));
    h.kill_async();
    must(f.ready() && f.successful() && f.started() && f.dead() && f.exception() == nullptr);
    must(!h.successful());
    gives<std::uint64_t>(f.id());
    f.set_name("n");
    must(f.name() == "n");
    weft::any_fiber any = g;
    static_assert(copies<weft::any_fiber> && copies<weft::fiber<void>>);
    any.join();
    int called = 0;
    f.link([&](weft::fiber<int> ended) { called += ended.get(); });
    f.link_value([&](weft::any_fiber) { ++called; });
    f.link_exception([&](const weft::fiber<int>&) { called = -1; });
    weft::wait(10s);
    must(called == 43);
    h.link([&](auto) { called = 0; });
    h.unlink_all();
    gives<std::vector<weft::any_fiber>>(weft::joinall({any, weft::any_fiber(f)}, 10s, true));
    must(weft::joinall(std::vector{f}, 10s).size() == 1);
    must(weft::joinall(std::vector{g}).size() == 1);
    gives<bool>(weft::killall(std::vector{h}, 10s));
    weft::event e;
    weft::async_result<int> r;
    weft::semaphore s(1);
    weft::bounded_semaphore b(1);
    weft::queue<int> q;
    weft::channel<int> c;
    weft::latch l(0);
    e.set();
    r.set(5);
    q.put(1);
    must(weft::wait({f, e, r, s, b, q, l}, 10s).size() == 7);
    must(weft::wait({f, c}, 10s, 1).size() == 1);
    must(weft::wait(std::vector{f, f}, 10s, 1).size() == 1);
    for (const weft::waitable& w : weft::iwait({e, r}, 10s)) must(w == e || w == r);
    for (weft::fiber<int>& w : weft::iwait(std::vector{f}, 10s)) must(w.get() == 42);
    must(weft::wait());
    gives<std::tuple<int, std::monostate, std::string>>(weft::gather(f, weft::spawn([] {}), weft::spawn([] { return std::string("s"); })));
    gives<std::tuple<std::unique_ptr<int>>>(weft::gather(weft::spawn([] { return std::make_unique<int>(1); })));
    this_fiber::yield();
    this_fiber::sleep_for(1us);
    this_fiber::sleep_until(std::chrono::steady_clock::now());
    gives<weft::any_fiber>(this_fiber::self());
    must(this_fiber::id() == this_fiber::self().id());
    gives<std::string>(this_fiber::name());
    weft::idle();
}

void names_of_coroutines() {
    weft::coroutine<int, std::string> co([](auto& yield, int n) {
        n = yield(std::to_string(n));
        return std::to_string(n);
    });
    gives<std::string>(co.resume(1));
    must(co.resume(2) == "2");
    weft::coroutine<void, void> neither([](auto& yield) { yield(); });
    neither.resume();
    weft::generator<int> squares([](auto& yield) {
        for (int i = 1; i <= 3; ++i) yield(i * i);
    });
    int sum = 0;
    for (int n : squares) sum += n;
    must(sum == 14);
}

void names_of_timeouts() {
    weft::timeout t(1h);
    {
        weft::timeout inner(0ns);
        try {
            this_fiber::sleep_for(1h);
        } catch (const weft::timeout_error& e) {
            must(e.is(inner) && !e.is(t));
        }
        must(inner.expired());
    }
    must(t.pending() && !t.expired());
    t.cancel();
    must(!t.pending());
    must(weft::with_timeout(1h, twice, 2) == 4);
    must(weft::with_timeout(0ns, weft::value_on_timeout{7}, [] { return this_fiber::sleep_for(1h), 1; }) == 7);
    throws<weft::timeout_error>([&] { (void)weft::with_timeout(0ns, [] { this_fiber::sleep_for(1h); }); });
}

void names_of_synchronisation() {
    weft::mutex m;
    weft::recursive_mutex rm;
    weft::shared_mutex sm;
    {
        std::scoped_lock both(m, rm);
        std::shared_lock shared(sm);
    }
    for (bool locked : {m.try_lock(), rm.try_lock_for(1s), sm.try_lock_until(std::chrono::steady_clock::now() + 1s)}) must(locked);
    m.unlock(), rm.unlock(), sm.unlock();
    must(sm.try_lock_shared() && sm.try_lock_shared_for(1s) && sm.try_lock_shared_until(std::chrono::system_clock::now() + 1s));
    for (int i = 0; i < 3; ++i) sm.unlock_shared();
    weft::condition_variable cv;
    std::unique_lock hold(m);
    gives<bool>(cv.wait(hold, 1us));
    must(cv.wait(hold, 1s, [] { return true; }));
    cv.wait(hold, [] { return true; });
    must(cv.wait_for(hold, 1us) == std::cv_status::timeout);
    must(cv.wait_until(hold, std::chrono::steady_clock::now() + 1s, [] { return true; }));
    cv.notify_one();
    cv.notify_all();
    weft::semaphore s(2);
    must(s.acquire() && s.acquire(1s) && !s.acquire(0s) && !s.try_acquire());
    s.release();
    weft::bounded_semaphore b(1);
    throws<std::logic_error>([&] { (void)b.release(); });
    weft::barrier two(2);
    must(!two.wait(1us));
    weft::latch l(1);
    l.count_down();
    l.wait();
    weft::once_flag once;
    int n = 0;
    weft::call_once(once, [&](int by) { n += by; }, 3);
    must(n == 3);
    weft::event e;
    e.set();
    must(e.is_set() && e.wait(1s));
    e.clear();
    must(!e.wait(0s));
    weft::async_result<int> r;
    weft::async_result<> nothing;
    throws<weft::timeout_error>([&] { (void)r.get_nowait(); });
    throws<weft::timeout_error>([&] { (void)r.get(0s); });
    r.link([&](weft::async_result<int> ready) { n += ready.get(); });
    must(r.set(4));
    must(r.get() == 4 && r.get_nowait() == 4 && r.ready() && r.successful());
    must(nothing.set_exception(std::make_exception_ptr(std::runtime_error("x"))));
    throws<std::runtime_error>([&] { (void)nothing.get(); });
    weft::async_result<int> dropped;
    must(dropped.cancel() && dropped.cancelled());
    weft::wait(10s);
    must(n == 7);
    static_assert(stays<weft::mutex> && stays<weft::recursive_mutex> && stays<weft::shared_mutex> && stays<weft::condition_variable> && stays<weft::semaphore> &&
                  stays<weft::bounded_semaphore> && stays<weft::barrier> && stays<weft::latch> && stays<weft::once_flag> && stays<weft::event> && copies<weft::async_result<int>>);
}

void names_of_queues() {
    weft::queue<int> q;
    weft::queue<std::unique_ptr<int>> owners(2);
    weft::lifo_queue<int> stack(3);
    weft::priority_queue<int, std::greater<>> largest;
    weft::priority_queue<int> smallest(4);
    weft::channel<int> c;
    weft::joinable_queue<int> tasks;
    q.put(1, 1s);
    q.put_nowait(2);
    must(q.try_put(3));
    must(q.peek(1s) == 1 && q.peek_nowait() == 1 && q.get(1s) == 1 && q.get_nowait() == 2);
    gives<std::optional<int>>(q.try_get());
    throws<weft::queue_empty>([&] { (void)q.get(0s); });
    throws<weft::queue_empty>([&] { (void)q.peek(0s); });
    throws<weft::queue_full>([&] { (void)c.put(1, 0s); });
    throws<weft::queue_full>([&] { (void)c.put_nowait(1); });
    must(q.size() == 0 && q.empty() && !q.full() && q.maxsize() == 0 && owners.maxsize() == 2);
    owners.put(std::make_unique<int>(1));
    for (int n : {3, 1, 2}) stack.put(n), largest.put(n), smallest.put(n);
    must(stack.get() == 2 && largest.get() == 3 && smallest.get() == 1);
    tasks.put(1);
    must(!tasks.join(0s));
    tasks.task_done();
    must(tasks.join());
    int got = 0;
    must(weft::select(weft::on_get(tasks, [&](int n) { got = n; }), weft::on_put(c, 9, [] {}), weft::on_timeout(1h, [] {})) == 0);
    must(got == 1);
    must(weft::select(weft::on_put(q, 9), weft::on_get(c, [](int) {})) == 0);
    must(weft::select(weft::on_timeout(0s, [&] { got = 5; }), weft::on_get(c, [](int) {})) == 0);
    must(got == 5);
    q.shutdown();
    for (int n : q) must(n == 9);
    throws<weft::queue_shutdown>([&] { (void)q.put(1); });
    throws<weft::queue_shutdown>([&] { (void)weft::select(weft::on_get(q, [](int) {})); });
    q.shutdown(true);
    static_assert(stays<weft::queue<int>> && stays<weft::channel<int>>);
}

void names_of_groups_pools_and_threads() {
    weft::group g;
    weft::pool p(2);
    const std::vector<int> numbers{1, 2, 3};
    auto f = g.spawn(twice, 1);
    must(g.discard(f));
    g.add(f);
    gives<bool>(g.join(10s, true));
    must(g.size() == 0 && !p.full() && p.free_count() == 2 && p.wait_available(1s));
    must(p.apply(twice, 2) == 4);
    gives<weft::fiber<int>>(p.apply_async(twice, 2));
    int called = 0;
    must(p.apply_async(twice, 2, [&](int n) { called = n; }).get() == 4);
    gives<std::vector<int>>(p.map(twice, numbers));
    must(p.map_async(twice, numbers).get() == std::vector{2, 4, 6});
    int sum = 0;
    for (int n : p.imap(twice, numbers, 1)) sum += n;
    for (int n : g.imap_unordered(twice, std::views::iota(1, 4))) sum += n;
    must(sum == 24);
    must(p.join(10s) && called == 4);
    must(!g.killone(f, 10s));
    must(p.kill(10s));
    weft::threadpool t(2);
    gives<weft::async_result<int>>(t.submit(twice, 3));
    gives<weft::async_result<int>>(t.spawn(twice, 3));
    must(t.apply(twice, 2) == 4 && t.apply_async(twice, 2).get() == 4);
    must(t.map(twice, numbers) == std::vector{2, 4, 6} && t.map_async(twice, numbers).get().size() == 3);
    for (int n : t.imap(twice, numbers, 2)) sum += n;
    for (int n : t.imap_unordered(twice, numbers)) sum += n;
    must(sum == 48);
    must(t.join(10s) && t.size() == 0 && !t.full() && t.free_count() == 2 && t.wait_available() && t.kill(10s));
    weft::fiber_local<std::string> mine;
    mine->append("x");
    must(*mine == "x");
    static_assert(stays<weft::group> && stays<weft::pool> && stays<weft::threadpool> && stays<weft::fiber_local<int>>);
}

void names_of_processes() {
    auto [here, there] = weft::pipe<std::string>();
    weft::process_queue<int> q(3);
    weft::shared_value<int> v(1);
    weft::shared_array<double> a(4);
    weft::process_pool pool(2);
    auto p = weft::process::spawn([&] {
        there.send(there.recv() + "!");
        q.put(7);
        v.set(v.get() + 1);
        a[3] = 0.5;
        return 3;
    });
    here.send("hello");
    must(here.recv(30s) == "hello!");
    must(q.get(30s) == 7);
    must(p.pid() > 0 && !p.daemon());
    must(p.join(30s));
    must(p.exitcode() == 3 && !p.alive() && !p.terminate() && !p.kill());
    must(v.get() == 2 && a[3] == 0.5);
    const std::vector<int> numbers{1, 2, 3};
    must(pool.apply(twice, 2) == 4 && pool.map(twice, numbers) == std::vector{2, 4, 6});
    gives<weft::async_result<int>>(pool.apply_async(twice, 2));
    int sum = 0;
    for (int n : pool.imap_unordered(twice, numbers)) sum += n;
    must(sum == 12);
    pool.close();
    must(pool.join(30s));
    pool.terminate();
    static_assert(stays<weft::process> && copies<weft::subprocess> && std::is_same_v<weft::popen, weft::subprocess>);
    weft::popen cat({"cat"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
    must(cat.communicate("text", 30s).stdout == "text");
    must(cat.wait(30s) == 0 && cat.poll() == 0 && !cat.send_signal(0) && !cat.terminate() && !cat.kill());
    bool told = false;
    cat.rawlink([&](weft::popen) { told = true; });
    must(weft::wait({cat}, 30s).size() == 1);
    weft::wait(30s);
    must(told);
    must(weft::run({"false"}, 30s).returncode == 1);
    must(weft::check_output({"echo", "x"}, {}, 30s) == "x\n");
    throws<weft::called_process_error>([&] { (void)weft::check_output({"false"}); });
}

void names_of_io_servers_and_signals() {
    int ends[2];
    must(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    weft::connection a(ends[0]), b(ends[1]);
    must(weft::wait_writable(a.fd(), 1s) && !weft::wait_readable(a.fd(), 0s));
    weft::cancel_wait(a.fd());
    weft::selector s;
    s.register_(a.fd(), weft::selector::read, std::string("a"));
    s.modify(a.fd(), weft::selector::read | weft::selector::write);
    must(s.select(10s).size() == 1);
    must(s.unregister(a.fd()).fd == a.fd());
    b.write("line\nrest");
    must(a.read_line() == "line");
    weft::pool handlers(2);
    weft::stream_server server("127.0.0.1:0", [](weft::connection& c) { c.write(c.peer().host()); }, {.pool = 10});
    server.set_pool(handlers);
    server.start();
    must(weft::connection::open(server.address(), 10s).read_all(10s) == "127.0.0.1");
    must(server.stop(10s));
    auto serving = weft::spawn([&] { server.serve_forever(); });
    this_fiber::yield();
    server.stop();
    must(serving.join(10s));
    weft::datagram_server datagrams("127.0.0.1:0", [](weft::datagram& d) { d.reply(d.data); });
    datagrams.start();
    datagrams.stop(1s);
    weft::event came;
    weft::signal_handler handler(SIGUSR1, [&] { came.set(); });
    weft::signal_handler other(SIGUSR1, [](int) {});
    ::kill(::getpid(), SIGUSR1);
    must(came.wait(30s));
    other.cancel();
    static_assert(stays<weft::stream_server> && stays<weft::signal_handler> && stays<weft::selector>);
}

void names_of_hubs_and_inspection() {
    weft::hub& h = weft::hub::current();
    gives<std::vector<weft::any_fiber>>(h.fibers());
    must(!weft::hub::fibers().empty() && weft::hub::join(10s));
    const weft::hub_stats now = weft::hub::stats();
    must(now.running == 1 && now.spawned > now.finished && now.switches + now.polls > 0 && now.stack_bytes < 1u << 30);
    must(now.parked + now.ready + now.timers < 1000);
    std::ostringstream tree;
    weft::print_run_info(tree);
    must(tree.str().find("main") != std::string::npos);
    const weft::monitor watch({.max_blocking_time = 1h});
    must(watch.max_blocking_time() == 1h);
    [[maybe_unused]] void (*const reinit)() = &weft::fork_reinit;
}

} // namespace

int main() {
    for (void (*part)() : {names_of_deadlines_and_errors,
                           names_of_fibers,
                           names_of_coroutines,
                           names_of_timeouts,
                           names_of_synchronisation,
                           names_of_queues,
                           names_of_groups_pools_and_threads,
                           names_of_processes,
                           names_of_io_servers_and_signals,
                           names_of_hubs_and_inspection})
        part();
}
