// SPDX-License-Identifier: Apache-2.0
// The threads of Rust's standard library, and what they wait for each other with. `--list` names the cases.
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, sync_channel, RecvTimeoutError, TryRecvError, TrySendError};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::{Duration, Instant};

mod network;

const MS: Duration = Duration::from_millis(1);

fn two_thousand_in_turn() {
    let mut sum = 0;
    for i in 0..2000u64 {
        sum += thread::spawn(move || i * 2).join().unwrap();
    }
    println!("{}", sum);
}

fn five_hundred_at_once() {
    let all = Arc::new(Barrier::new(500));
    let threads: Vec<_> = (0..500u64)
        .map(|i| {
            let all = all.clone();
            thread::spawn(move || {
                let leader = all.wait().is_leader();
                (i, leader)
            })
        })
        .collect();
    let ends: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    println!("{} leaders {}", ends.iter().map(|e| e.0).sum::<u64>(), ends.iter().filter(|e| e.1).count());
}

fn names_and_ids() {
    let ids: HashSet<_> = (0..10)
        .map(|i| {
            thread::Builder::new()
                .name(format!("worker number {}", i))
                .stack_size(128 * 1024)
                .spawn(|| {
                    let own = thread::current();
                    println!("{:?} {}", own.name(), std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim());
                    own.id()
                })
                .unwrap()
                .join()
                .unwrap()
        })
        .collect();
    let unnamed = thread::spawn(|| thread::current().name().map(str::to_owned)).join().unwrap();
    println!("{} ids, main is {:?}, spawned {:?}", ids.len(), thread::current().name(), unnamed);
    println!("parallelism is known: {}", thread::available_parallelism().is_ok());
}

fn panics_are_caught_by_join() {
    panic::set_hook(Box::new(|info| {
        println!("hook in {:?}: {}", thread::current().name(), info.payload().downcast_ref::<&str>().unwrap_or(&"?"))
    }));
    let r = thread::Builder::new().name("fails".into()).spawn(|| panic!("on purpose")).unwrap().join();
    println!("{:?}", r.unwrap_err().downcast_ref::<&str>());
    let formatted = thread::spawn(|| panic!("number {}", 5)).join().unwrap_err();
    println!("{:?}", formatted.downcast_ref::<String>());
    // Each waits while it unwinds.
    struct Waits(usize);
    impl Drop for Waits {
        fn drop(&mut self) {
            assert!(thread::panicking());
            thread::sleep(MS * self.0 as u32);
        }
    }
    let _ = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let threads: Vec<_> = (0..10usize)
        .map(|i| {
            thread::spawn(move || {
                let _waits = Waits(10 - i);
                panic::panic_any(i)
            }) as thread::JoinHandle<()>
        })
        .collect();
    let payloads: Vec<_> = threads.into_iter().map(|t| *t.join().unwrap_err().downcast::<usize>().unwrap()).collect();
    println!("{:?}", payloads);
    let caught = panic::catch_unwind(|| {
        thread::spawn(|| thread::sleep(MS)).join().unwrap();
        panic!("here")
    });
    println!("caught {}, panicking {}", caught.is_err(), thread::panicking());
}

fn scoped_threads() {
    let mut numbers = vec![1u64; 1000];
    let total = AtomicUsize::new(0);
    thread::scope(|s| {
        for part in numbers.chunks_mut(100) {
            let total = &total;
            s.spawn(move || {
                for n in part.iter_mut() {
                    *n += 1;
                }
                thread::yield_now();
                total.fetch_add(part.len(), SeqCst);
            });
        }
    });
    println!("{} {}", numbers.iter().sum::<u64>(), total.load(SeqCst));
    let failed = panic::catch_unwind(|| {
        panic::set_hook(Box::new(|_| {}));
        thread::scope(|s| {
            s.spawn(|| panic!("in scope"));
        })
    });
    println!("a panic in the scope is told: {}", failed.is_err());
}

fn channels() {
    let (tx, rx) = channel();
    for id in 0..10u64 {
        let tx = tx.clone();
        thread::spawn(move || {
            for i in 0..100 {
                tx.send(id * 100 + i).unwrap();
                if i % 30 == 0 {
                    thread::sleep(MS);
                }
            }
        });
    }
    println!("connected: {}", !matches!(rx.try_recv(), Err(TryRecvError::Disconnected)));
    drop(tx);
    println!("nearly all: {}", rx.iter().count() >= 999);
    let (tx, rx) = sync_channel::<u32>(2);
    println!("{:?} {:?} {:?}", tx.try_send(1), tx.try_send(2), tx.try_send(3) == Err(TrySendError::Full(3)));
    let sender = thread::spawn(move || {
        for i in 3..20 {
            tx.send(i).unwrap();
        }
    });
    println!("{:?}", rx.iter().collect::<Vec<_>>());
    sender.join().unwrap();
    let (tx, rx) = sync_channel::<u32>(0); // a meeting
    let receiver = thread::spawn(move || rx.iter().sum::<u32>());
    (0..50).for_each(|i| tx.send(i).unwrap());
    drop(tx);
    println!("{}", receiver.join().unwrap());
    let (tx, rx) = channel::<()>();
    println!("{:?}", rx.recv_timeout(MS * 5) == Err(RecvTimeoutError::Timeout));
    drop(tx);
    println!("{:?}", rx.recv());
}

fn mutex_and_condvar() {
    let pair = Arc::new((Mutex::new(0u32), Condvar::new()));
    let threads: Vec<_> = (0..5u32)
        .map(|own| {
            let pair = pair.clone();
            thread::spawn(move || {
                for _ in 0..40 {
                    let mut turn = pair.1.wait_while(pair.0.lock().unwrap(), |t| *t % 5 != own).unwrap();
                    *turn += 1;
                    pair.1.notify_all();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    println!("turn {}", pair.0.lock().unwrap());
    let (guard, late) = pair.1.wait_timeout(pair.0.lock().unwrap(), MS * 5).unwrap();
    println!("timed out {}, try_lock {}", late.timed_out(), pair.0.try_lock().is_err());
    drop(guard);
    panic::set_hook(Box::new(|_| {}));
    let poisons = pair.clone();
    let _ = thread::spawn(move || {
        let _guard = poisons.0.lock().unwrap();
        panic!();
    })
    .join();
    println!("poisoned {} still {}", pair.0.is_poisoned(), pair.0.lock().unwrap_err().into_inner());
}

fn rwlock() {
    let lock = Arc::new(RwLock::new(vec![0u32; 10]));
    let wrong = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8)
        .map(|i| {
            let (lock, wrong) = (lock.clone(), wrong.clone());
            thread::spawn(move || {
                for n in 0..50 {
                    if (i + n) % 4 == 0 {
                        let mut values = lock.write().unwrap();
                        for v in values.iter_mut() {
                            *v += 1;
                            if n % 10 == 0 {
                                thread::yield_now();
                            }
                        }
                    } else {
                        let values = lock.read().unwrap();
                        thread::yield_now();
                        if values.iter().any(|v| *v != values[0]) {
                            wrong.fetch_add(1, SeqCst);
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    println!("{} wrong {}", lock.read().unwrap()[9], wrong.load(SeqCst));
}

fn once_by_many() {
    static ONCE: Once = Once::new();
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let threads: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn(|| {
                ONCE.call_once(|| {
                    thread::sleep(MS * 5);
                    MADE.fetch_add(1, SeqCst);
                });
                MADE.load(SeqCst)
            })
        })
        .collect();
    println!("{} {}", threads.into_iter().map(|t| t.join().unwrap()).sum::<usize>(), ONCE.is_completed());
}

fn park_and_unpark() {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    let parked = thread::spawn(move || {
        while !seen.load(SeqCst) {
            thread::park();
        }
        thread::park_timeout(MS * 5);
        "woken"
    });
    thread::sleep(MS * 5);
    parked.thread().unpark(); // for nothing
    flag.store(true, SeqCst);
    parked.thread().unpark();
    println!("{}", parked.join().unwrap());
    thread::current().unpark(); // kept for later
    thread::park();
    let start = Instant::now();
    thread::park_timeout(MS * 10);
    println!("parked for its time: {}", start.elapsed() >= MS * 9);
}

struct Counted(&'static AtomicUsize);
impl Drop for Counted {
    fn drop(&mut self) {
        thread::sleep(MS);
        self.0.fetch_add(1, SeqCst);
    }
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static NUMBER: Cell<u32> = Cell::new(7);
    static OWN: RefCell<Vec<Counted>> = RefCell::new(Vec::new());
    static LATE: Counted = { OWN.with(|o| o.borrow().len()); Counted(&DROPPED) };
}

fn thread_locals() {
    let threads: Vec<_> = (0..30u32)
        .map(|i| {
            thread::spawn(move || {
                let fresh = NUMBER.with(|n| n.replace(i)) == 7 && OWN.with(|o| o.borrow().is_empty());
                OWN.with(|o| (0..3).for_each(|_| o.borrow_mut().push(Counted(&DROPPED))));
                LATE.with(|_| ());
                thread::yield_now();
                fresh && NUMBER.with(|n| n.get()) == i
            })
        })
        .collect();
    let right = threads.into_iter().map(|t| t.join().unwrap()).filter(|r| *r).count();
    println!("right {} dropped {} main's {}", right, DROPPED.load(SeqCst), NUMBER.with(|n| n.get()));
}

fn deep_stacks_and_big_values() {
    fn deep(n: u64) -> u64 {
        let mut block = [n; 64];
        unsafe { std::ptr::write_volatile(&mut block[63], n) };
        if n == 0 { 0 } else { deep(n - 1) + block[63] % 2 }
    }
    let threads: Vec<_> = (0..4).map(|_| thread::Builder::new().stack_size(8 << 20).spawn(|| deep(5000)).unwrap()).collect();
    println!("{:?}", threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>());
    let maps: Vec<_> = (0..8u32).map(|i| thread::spawn(move || (0..2000).map(|n| (n, n * i)).collect::<HashMap<u32, u32>>())).collect();
    println!("{}", maps.into_iter().map(|t| t.join().unwrap()).map(|m| m[&1000]).sum::<u32>());
}

fn overflow_is_told() {
    #[allow(unconditional_recursion)]
    fn forever(n: u64) -> u64 {
        let mut own = n;
        unsafe { std::ptr::write_volatile(&mut own, n + 1) };
        forever(own) + own
    }
    let t = thread::Builder::new().name("deep".into()).stack_size(64 * 1024).spawn(|| forever(0)).unwrap();
    println!("{:?}", t.join().is_ok());
}

fn ends_while_others_wait() {
    for _ in 0..10 {
        thread::spawn(thread::park);
    }
    let (tx, rx) = channel::<()>();
    thread::spawn(move || rx.recv());
    thread::sleep(MS * 5);
    println!("main returns");
    std::mem::forget(tx);
}

fn exit_in_a_thread() {
    thread::spawn(|| {
        println!("leaving");
        std::process::exit(9)
    });
    loop {
        thread::park();
    }
}

fn main() {
    let cases: [(&str, fn()); 18] = [
        ("two_thousand_in_turn", two_thousand_in_turn),
        ("five_hundred_at_once", five_hundred_at_once),
        ("names_and_ids", names_and_ids),
        ("panics_are_caught_by_join", panics_are_caught_by_join),
        ("scoped_threads", scoped_threads),
        ("channels", channels),
        ("mutex_and_condvar", mutex_and_condvar),
        ("rwlock", rwlock),
        ("once_by_many", once_by_many),
        ("park_and_unpark", park_and_unpark),
        ("thread_locals", thread_locals),
        ("tcp_threads", network::tcp_threads),
        ("sockets_and_timeouts", network::sockets_and_timeouts),
        ("children_of_threads", network::children_of_threads),
        ("deep_stacks_and_big_values", deep_stacks_and_big_values),
        ("overflow_is_told", overflow_is_told),
        ("ends_while_others_wait", ends_while_others_wait),
        ("exit_in_a_thread", exit_in_a_thread),
    ];
    match std::env::args().nth(1).as_deref() {
        Some("--list") => cases.iter().for_each(|c| println!("{}", c.0)),
        Some(name) => cases.iter().find(|c| c.0 == name).expect("no such case").1(),
        None => std::process::exit(2),
    }
}
