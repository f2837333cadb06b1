//! tokio: its current-thread runtime, or the multi-thread one with one or two workers.
//!
//! Every driver is on, as `#[tokio::main]` has it. The root of each round is a spawned task, for
//! `block_on` itself runs outside of the workers.

use std::array;
use std::future::Future;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use super::tokio_net;
use crate::cases::What;
use crate::child::measure::{Cannot, Round, Task, cannot, compute};
use crate::child::memory::{FOR_EVER, short_sleep, timers, watch_sleepers};
use crate::child::span::{Span, yields_each};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    Current,
    Multi,
}

pub(super) fn runtime(flavor: Flavor, workers: usize) -> Runtime {
    let mut builder = match flavor {
        Flavor::Current => Builder::new_current_thread(),
        Flavor::Multi => Builder::new_multi_thread(),
    };
    if flavor == Flavor::Multi {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().expect("a runtime")
}

pub(super) fn run(flavor: Flavor, task: &Task) -> Result<(), Cannot> {
    if flavor == Flavor::Current && task.workers > 1 {
        return cannot("it has one thread");
    }
    let size = task.size;
    let runtime = runtime(flavor, task.workers);
    let sleep_all = |tasks, time, times| root(&runtime, sleep_all(tasks, time, times));
    match task.what {
        What::Yield => task.rounds(|| root(&runtime, yields(size))),
        What::SpawnJoin => task.rounds(|| root(&runtime, spawn_join())),
        What::Skynet => task.rounds(|| root(&runtime, skynet(size))),
        What::Fib => task.rounds(|| root(&runtime, fibonacci(size))),
        What::Unbalanced => task.rounds(|| root(&runtime, unbalanced(size))),
        What::PingPong => task.rounds(|| root(&runtime, ping_pong())),
        What::Ring => task.rounds(|| root(&runtime, ring())),
        What::Mpsc => task.rounds(|| root(&runtime, items(size))),
        What::MutexFree => task.rounds(|| root(&runtime, mutex_free())),
        What::MutexContended => task.rounds(|| root(&runtime, mutex_contended())),
        What::Select => task.rounds(|| root(&runtime, select_of_four())),
        What::Timers => timers(task, sleep_all),
        What::ShortSleep => short_sleep(task, sleep_all),
        What::Sleepers => {
            sleep_all(1, Duration::from_millis(1), 1);
            sleepers(&runtime, size);
        }
        what if what.is_served() => return tokio_net::serve(&runtime, task),
        What::Generator | What::Switch => return cannot("futures do not switch to each other"),
        _ => return cannot("no functions in other processes"),
    }
    Ok(())
}

pub(super) fn root<T: Send + 'static>(
    runtime: &Runtime,
    future: impl Future<Output = T> + Send + 'static,
) -> T {
    runtime.block_on(async move { tokio::spawn(future).await.unwrap() })
}

async fn yields(tasks: usize) -> Round {
    let each = yields_each(tasks);
    let span = Arc::new(Span::new(tasks));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let span = span.clone();
            tokio::spawn(async move {
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
        handle.await.unwrap();
    }
    span.round(each)
}

async fn spawn_join() -> Round {
    const BATCHES: usize = 50;
    const BATCH: usize = 1_000;
    let began = Instant::now();
    for _ in 0..BATCHES {
        let handles: Vec<_> = (0..BATCH)
            .map(|n| tokio::spawn(async move { black_box(n) }))
            .collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.unwrap();
        }
        assert_eq!(sum, BATCH * (BATCH - 1) / 2);
    }
    Round::since(began, BATCHES * BATCH)
}

fn node(first: usize, leaves: usize) -> JoinHandle<usize> {
    tokio::spawn(async move {
        if leaves == 1 {
            return first;
        }
        let branch = leaves / 10;
        let children: [_; 10] = array::from_fn(|n| node(first + n * branch, branch));
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap();
        }
        sum
    })
}

async fn skynet(leaves: usize) -> Round {
    let began = Instant::now();
    let sum = node(0, leaves).await.unwrap();
    assert_eq!(sum, leaves * (leaves - 1) / 2);
    Round::since(began, leaves)
}

fn fib(n: usize) -> JoinHandle<usize> {
    tokio::spawn(async move {
        if n < 2 {
            return n;
        }
        let (a, b) = (fib(n - 1), fib(n - 2));
        a.await.unwrap() + b.await.unwrap()
    })
}

async fn fibonacci(n: usize) -> Round {
    let began = Instant::now();
    black_box(fib(n).await.unwrap());
    Round::since(began, super::run::fib_tasks(n))
}

async fn unbalanced(tasks: usize) -> Round {
    let is_there = Arc::new(AtomicBool::new(false));
    let may_end = Arc::new(AtomicBool::new(false));
    let occupier = {
        let (is_there, may_end) = (is_there.clone(), may_end.clone());
        tokio::spawn(async move {
            is_there.store(true, Ordering::Release);
            while !may_end.load(Ordering::Acquire) {
                spin_loop();
            }
        })
    };
    // Pushes the first one out of the slot that the other worker cannot reach.
    tokio::spawn(async {});
    while !is_there.load(Ordering::Acquire) {
        spin_loop();
    }
    let start = Arc::new(Semaphore::new(0));
    let waiting = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let (start, waiting) = (start.clone(), waiting.clone());
            tokio::spawn(async move {
                waiting.fetch_add(1, Ordering::Relaxed);
                start.acquire().await.unwrap().forget();
                compute();
            })
        })
        .collect();
    while waiting.load(Ordering::Relaxed) < tasks {
        yield_now().await;
    }
    yield_now().await;
    may_end.store(true, Ordering::Release);
    occupier.await.unwrap();
    let began = Instant::now();
    start.add_permits(tasks);
    for handle in handles {
        handle.await.unwrap();
    }
    Round::since(began, tasks)
}

async fn ping_pong() -> Round {
    const TRIPS: usize = 50_000;
    let (there, mut their_end) = mpsc::channel::<usize>(1);
    let (back, mut our_end) = mpsc::channel::<usize>(1);
    let echo = tokio::spawn(async move {
        while let Some(item) = their_end.recv().await {
            back.send(item).await.unwrap();
        }
    });
    let asker = tokio::spawn(async move {
        let began = Instant::now();
        for n in 0..TRIPS {
            there.send(n).await.unwrap();
            assert_eq!(our_end.recv().await, Some(n));
        }
        Round::since(began, TRIPS)
    });
    let round = asker.await.unwrap();
    echo.await.unwrap();
    round
}

async fn ring() -> Round {
    const TASKS: usize = 503;
    const PASSES: usize = 200_000;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..TASKS).map(|_| mpsc::channel::<usize>(1)).unzip();
    let first = senders[0].clone();
    let (done, mut all_done) = mpsc::channel::<()>(1);
    for (n, mut receiver) in receivers.into_iter().enumerate() {
        let next = senders[(n + 1) % TASKS].clone();
        let done = done.clone();
        tokio::spawn(async move {
            while let Some(left) = receiver.recv().await {
                if left == 0 {
                    let _ = done.send(()).await;
                    break;
                }
                if next.send(left - 1).await.is_err() {
                    break;
                }
            }
        });
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
    let (sender, mut receiver) = mpsc::channel::<u64>(1_000);
    for _ in 0..producers {
        let sender = sender.clone();
        tokio::spawn(async move {
            for n in 0..ITEMS / producers {
                sender.send(n as u64).await.unwrap();
            }
        });
    }
    drop(sender);
    let consumer = tokio::spawn(async move {
        let mut count = 0;
        while let Some(item) = receiver.recv().await {
            black_box(item);
            count += 1;
        }
        count
    });
    assert_eq!(consumer.await.unwrap(), ITEMS);
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
            tokio::spawn(async move {
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
        handle.await.unwrap();
    }
    let round = Round::since(began, TASKS * EACH);
    assert_eq!(*sum.lock().await, TASKS * EACH);
    round
}

async fn select_of_four() -> Round {
    const TIMES: usize = 200_000;
    let [(_a, mut a), (_b, mut b), (sender, mut c), (_d, mut d)] =
        array::from_fn(|_| mpsc::channel::<usize>(1));
    let began = Instant::now();
    for n in 0..TIMES {
        sender.send(n).await.unwrap();
        let item = tokio::select! {
            item = a.recv() => item,
            item = b.recv() => item,
            item = c.recv() => item,
            item = d.recv() => item,
        };
        assert_eq!(item, Some(n));
    }
    Round::since(began, TIMES)
}

async fn sleep_all(tasks: usize, time: Duration, times: usize) {
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..times {
                    sleep(time).await;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.await.unwrap();
    }
}

/// Does not return: the watcher ends the process.
fn sleepers(runtime: &Runtime, tasks: usize) {
    let span: &'static Span = Box::leak(Box::new(Span::new(tasks)));
    watch_sleepers(span);
    root(runtime, async move {
        for _ in 0..tasks {
            tokio::spawn(async move {
                span.start();
                sleep(FOR_EVER).await;
            });
        }
        sleep(FOR_EVER).await;
    });
}
