//! smol: one static `async_executor::Executor`, run by `smol::block_on` on one or two threads.

use std::array;
use std::future::{Future, pending};
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_channel::bounded;
use async_executor::{Executor, Task};
use async_lock::{Mutex, Semaphore};
use smol::Timer;
use smol::future::{race, yield_now};

use super::smol_net;
use crate::cases::What;
use crate::child::measure::{self, Cannot, Round, cannot, compute};
use crate::child::memory::{FOR_EVER, short_sleep, timers, watch_sleepers};
use crate::child::span::{Span, yields_each};

pub(super) static EXECUTOR: Executor<'static> = Executor::new();

fn root<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    smol::block_on(EXECUTOR.run(EXECUTOR.spawn(future)))
}

pub(super) fn run(task: &measure::Task) -> Result<(), Cannot> {
    for _ in 1..task.workers {
        thread::spawn(|| smol::block_on(EXECUTOR.run(pending::<()>())));
    }
    let size = task.size;
    let sleep_all = |tasks, time, times| root(sleep_all(tasks, time, times));
    match task.what {
        What::Yield => task.rounds(|| root(yields(size))),
        What::SpawnJoin => task.rounds(|| root(spawn_join())),
        What::Skynet => task.rounds(|| root(skynet(size))),
        What::Fib => task.rounds(|| root(fibonacci(size))),
        What::Unbalanced => task.rounds(|| root(unbalanced(size))),
        What::PingPong => task.rounds(|| root(ping_pong())),
        What::Ring => task.rounds(|| root(ring())),
        What::Mpsc => task.rounds(|| root(items(size))),
        What::MutexFree => task.rounds(|| root(mutex_free())),
        What::MutexContended => task.rounds(|| root(mutex_contended())),
        What::Select => task.rounds(|| root(select_of_four())),
        What::Timers => timers(task, sleep_all),
        What::ShortSleep => short_sleep(task, sleep_all),
        What::Sleepers => {
            sleep_all(1, Duration::from_millis(1), 1);
            sleepers(size);
        }
        what if what.is_served() => return root(smol_net::serve(what)),
        What::Generator | What::Switch => return cannot("futures do not switch to each other"),
        _ => return cannot("no functions in other processes"),
    }
    Ok(())
}

async fn yields(tasks: usize) -> Round {
    let each = yields_each(tasks);
    let span = Arc::new(Span::new(tasks));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let span = span.clone();
            EXECUTOR.spawn(async move {
                span.start();
                while !span.all_started() {
                    yield_now().await;
                }
                for _ in 0..each {
                    yield_now().await;
                }
                span.end();
            })
        })
        .collect();
    for handle in handles {
        handle.await;
    }
    span.round(each)
}

async fn spawn_join() -> Round {
    const BATCHES: usize = 50;
    const BATCH: usize = 1_000;
    let began = Instant::now();
    for _ in 0..BATCHES {
        let handles: Vec<_> = (0..BATCH)
            .map(|n| EXECUTOR.spawn(async move { black_box(n) }))
            .collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await;
        }
        assert_eq!(sum, BATCH * (BATCH - 1) / 2);
    }
    Round::since(began, BATCHES * BATCH)
}

fn node(first: usize, leaves: usize) -> Task<usize> {
    EXECUTOR.spawn(async move {
        if leaves == 1 {
            return first;
        }
        let branch = leaves / 10;
        let children: [_; 10] = array::from_fn(|n| node(first + n * branch, branch));
        let mut sum = 0;
        for child in children {
            sum += child.await;
        }
        sum
    })
}

async fn skynet(leaves: usize) -> Round {
    let began = Instant::now();
    let sum = node(0, leaves).await;
    assert_eq!(sum, leaves * (leaves - 1) / 2);
    Round::since(began, leaves)
}

fn fib(n: usize) -> Task<usize> {
    EXECUTOR.spawn(async move {
        if n < 2 {
            return n;
        }
        let (a, b) = (fib(n - 1), fib(n - 2));
        a.await + b.await
    })
}

async fn fibonacci(n: usize) -> Round {
    let began = Instant::now();
    black_box(fib(n).await);
    Round::since(began, super::run::fib_tasks(n))
}

async fn unbalanced(tasks: usize) -> Round {
    let is_there = Arc::new(AtomicBool::new(false));
    let may_end = Arc::new(AtomicBool::new(false));
    let occupier = {
        let (is_there, may_end) = (is_there.clone(), may_end.clone());
        EXECUTOR.spawn(async move {
            is_there.store(true, Ordering::Release);
            while !may_end.load(Ordering::Acquire) {
                spin_loop();
            }
        })
    };
    while !is_there.load(Ordering::Acquire) {
        spin_loop();
    }
    let start = Arc::new(Semaphore::new(0));
    let waiting = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (start, waiting) = (start.clone(), waiting.clone());
            EXECUTOR.spawn(async move {
                waiting.fetch_add(1, Ordering::Relaxed);
                start.acquire().await.forget();
                compute();
            })
        })
        .collect();
    let count = tasks.len();
    while waiting.load(Ordering::Relaxed) < count {
        yield_now().await;
    }
    yield_now().await;
    may_end.store(true, Ordering::Release);
    occupier.await;
    let began = Instant::now();
    start.add_permits(count);
    for task in tasks {
        task.await;
    }
    Round::since(began, count)
}

async fn ping_pong() -> Round {
    const TRIPS: usize = 50_000;
    let (there, their_end) = bounded::<usize>(1);
    let (back, our_end) = bounded::<usize>(1);
    let echo = EXECUTOR.spawn(async move {
        while let Ok(item) = their_end.recv().await {
            back.send(item).await.unwrap();
        }
    });
    let asker = EXECUTOR.spawn(async move {
        let began = Instant::now();
        for n in 0..TRIPS {
            there.send(n).await.unwrap();
            assert_eq!(our_end.recv().await, Ok(n));
        }
        Round::since(began, TRIPS)
    });
    let round = asker.await;
    echo.await;
    round
}

async fn ring() -> Round {
    const TASKS: usize = 503;
    const PASSES: usize = 200_000;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..TASKS).map(|_| bounded::<usize>(1)).unzip();
    let first = senders[0].clone();
    let (done, all_done) = bounded::<()>(1);
    for (n, receiver) in receivers.into_iter().enumerate() {
        let next = senders[(n + 1) % TASKS].clone();
        let done = done.clone();
        EXECUTOR
            .spawn(async move {
                while let Ok(left) = receiver.recv().await {
                    if left == 0 {
                        let _ = done.send(()).await;
                        break;
                    }
                    if next.send(left - 1).await.is_err() {
                        break;
                    }
                }
            })
            .detach();
    }
    drop(senders);
    let began = Instant::now();
    first.send(PASSES).await.unwrap();
    all_done.recv().await.unwrap();
    Round::since(began, PASSES)
}

async fn items(producers: usize) -> Round {
    const ITEMS: usize = 400_000;
    let began = Instant::now();
    let (sender, receiver) = bounded::<u64>(1_000);
    for _ in 0..producers {
        let sender = sender.clone();
        EXECUTOR
            .spawn(async move {
                for n in 0..ITEMS / producers {
                    sender.send(n as u64).await.unwrap();
                }
            })
            .detach();
    }
    drop(sender);
    let consumer = EXECUTOR.spawn(async move {
        let mut count = 0;
        while let Ok(item) = receiver.recv().await {
            black_box(item);
            count += 1;
        }
        count
    });
    assert_eq!(consumer.await, ITEMS);
    Round::since(began, ITEMS)
}

async fn mutex_free() -> Round {
    const TIMES: usize = 1_000_000;
    let sum = Mutex::new(0);
    let began = Instant::now();
    for n in 0..TIMES {
        *black_box(&sum).lock().await += n;
    }
    Round::since(began, TIMES)
}

async fn mutex_contended() -> Round {
    const TASKS: usize = 100;
    const EACH: usize = 2_000;
    let sum = Arc::new(Mutex::new(0));
    let began = Instant::now();
    let handles: Vec<_> = (0..TASKS)
        .map(|_| {
            let sum = sum.clone();
            EXECUTOR.spawn(async move {
                for n in 0..EACH {
                    let mut sum = sum.lock().await;
                    *sum += 1;
                    if n % 10 == 9 {
                        yield_now().await;
                    }
                }
            })
        })
        .collect();
    for handle in handles {
        handle.await;
    }
    let round = Round::since(began, TASKS * EACH);
    assert_eq!(*sum.lock().await, TASKS * EACH);
    round
}

async fn select_of_four() -> Round {
    const TIMES: usize = 200_000;
    let [(_a, a), (_b, b), (sender, c), (_d, d)] = array::from_fn(|_| bounded::<usize>(1));
    let began = Instant::now();
    for n in 0..TIMES {
        sender.send(n).await.unwrap();
        let item = race(race(a.recv(), b.recv()), race(c.recv(), d.recv())).await;
        assert_eq!(item, Ok(n));
    }
    Round::since(began, TIMES)
}

async fn sleep_all(tasks: usize, time: Duration, times: usize) {
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            EXECUTOR.spawn(async move {
                for _ in 0..times {
                    Timer::after(time).await;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.await;
    }
}

/// Does not return: the watcher ends the process.
fn sleepers(tasks: usize) {
    let span: &'static Span = Box::leak(Box::new(Span::new(tasks)));
    watch_sleepers(span);
    root(async move {
        for _ in 0..tasks {
            EXECUTOR
                .spawn(async move {
                    span.start();
                    Timer::after(FOR_EVER).await;
                })
                .detach();
        }
        Timer::after(FOR_EVER).await;
    });
}
