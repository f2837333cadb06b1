//! greenloom: a runtime with one or two workers, its other settings as they are.

use std::array;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenloom::channel::bounded;
use greenloom::coroutine::{Generator, Greenlet};
use greenloom::sync::{Event, Mutex};
use greenloom::{JoinHandle, Runtime, select, sleep, spawn, yield_now};

use super::{greenloom_net, greenloom_process};
use crate::cases::{Group, What};
use crate::child::measure::{Cannot, Round, Task, compute};
use crate::child::memory::{FOR_EVER, short_sleep, timers, watch_sleepers};
use crate::child::span::{Span, yields_each};

pub(super) fn runtime(workers: usize) -> Runtime {
    let runtime = Runtime::builder().workers(workers).build();
    runtime.expect("a runtime with its workers")
}

pub(super) fn run(task: &Task) -> Result<(), Cannot> {
    match task.what {
        What::Generator => generator(task),
        What::Switch => switch(task),
        what if what.is_served() => greenloom_net::serve(task),
        what if what.group() == Group::Processes => greenloom_process::run(task),
        _ => on_a_runtime(task),
    }
    Ok(())
}

fn on_a_runtime(task: &Task) {
    let size = task.size;
    let runtime = runtime(task.workers);
    let rounds = |round: fn(usize) -> Round| task.rounds(|| runtime.block_on(move || round(size)));
    let sleep_all = |tasks, time, times| runtime.block_on(move || sleep_all(tasks, time, times));
    match task.what {
        What::Yield => rounds(yields),
        What::SpawnJoin => rounds(|_| spawn_join()),
        What::Skynet => rounds(skynet),
        What::Fib => rounds(fibonacci),
        What::Unbalanced => rounds(unbalanced),
        What::PingPong => rounds(|_| ping_pong()),
        What::Ring => rounds(|_| ring()),
        What::Mpsc => rounds(mpsc),
        What::MutexFree => rounds(|_| mutex_free()),
        What::MutexContended => rounds(|_| mutex_contended()),
        What::Select => rounds(|_| select_of_four()),
        What::Timers => timers(task, sleep_all),
        What::ShortSleep => short_sleep(task, sleep_all),
        What::Sleepers => {
            sleep_all(1, Duration::from_millis(1), 1);
            sleepers(&runtime, size);
        }
        _ => unreachable!("taken above"),
    }
}

fn yields(tasks: usize) -> Round {
    let each = yields_each(tasks);
    let span = Arc::new(Span::new(tasks));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let span = span.clone();
            spawn(move || {
                span.start();
                while !span.all_started() {
                    yield_now();
                }
                for _ in 0..each {
                    yield_now();
                }
                span.end();
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    span.round(each)
}

fn spawn_join() -> Round {
    const BATCHES: usize = 50;
    const BATCH: usize = 1_000;
    Round::timed(BATCHES * BATCH, || {
        for _ in 0..BATCHES {
            let handles: Vec<_> = (0..BATCH).map(|n| spawn(move || black_box(n))).collect();
            let sum: usize = handles.into_iter().map(|h| h.join().unwrap()).sum();
            assert_eq!(sum, BATCH * (BATCH - 1) / 2);
        }
    })
}

fn node(first: usize, leaves: usize) -> JoinHandle<usize> {
    spawn(move || {
        if leaves == 1 {
            return first;
        }
        let branch = leaves / 10;
        let children: [_; 10] = array::from_fn(|n| node(first + n * branch, branch));
        children
            .into_iter()
            .map(|child| child.join().unwrap())
            .sum()
    })
}

fn skynet(leaves: usize) -> Round {
    Round::timed(leaves, || {
        let sum = node(0, leaves).join().unwrap();
        assert_eq!(sum, leaves * (leaves - 1) / 2);
    })
}

fn fib(n: usize) -> JoinHandle<usize> {
    spawn(move || {
        if n < 2 {
            return n;
        }
        let (a, b) = (fib(n - 1), fib(n - 2));
        a.join().unwrap() + b.join().unwrap()
    })
}

fn fibonacci(n: usize) -> Round {
    Round::timed(super::run::fib_tasks(n), || {
        black_box(fib(n).join().unwrap());
    })
}

fn unbalanced(tasks: usize) -> Round {
    let (is_there, may_end) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let occupier = {
        let (is_there, may_end) = (is_there.clone(), may_end.clone());
        spawn(move || {
            is_there.store(true, Ordering::Release);
            while !may_end.load(Ordering::Acquire) {
                spin_loop();
            }
        })
    };
    // The other worker takes it, for this one is busy here.
    while !is_there.load(Ordering::Acquire) {
        spin_loop();
    }
    let (start, waiting) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let (start, waiting) = (start.clone(), waiting.clone());
            spawn(move || {
                waiting.fetch_add(1, Ordering::Relaxed);
                start.wait();
                compute();
            })
        })
        .collect();
    while waiting.load(Ordering::Relaxed) < tasks {
        yield_now();
    }
    yield_now();
    may_end.store(true, Ordering::Release);
    occupier.join().unwrap();
    Round::timed(tasks, || {
        start.set();
        for handle in handles {
            handle.join().unwrap();
        }
    })
}

fn ping_pong() -> Round {
    const TRIPS: usize = 50_000;
    let (there, their_end) = bounded::<usize>(1);
    let (back, our_end) = bounded::<usize>(1);
    let echo = spawn(move || {
        for item in their_end {
            back.send(item).unwrap();
        }
    });
    // A task of its own: a second worker may take one or both.
    let asker = spawn(move || {
        Round::timed(TRIPS, || {
            for n in 0..TRIPS {
                there.send(n).unwrap();
                assert_eq!(our_end.recv(), Ok(n));
            }
        })
    });
    let round = asker.join().unwrap();
    echo.join().unwrap();
    round
}

fn ring() -> Round {
    const TASKS: usize = 503;
    const PASSES: usize = 200_000;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..TASKS).map(|_| bounded::<usize>(1)).unzip();
    let first = senders[0].clone();
    let (done, all_done) = bounded::<()>(1);
    for (n, receiver) in receivers.into_iter().enumerate() {
        let next = senders[(n + 1) % TASKS].clone();
        let done = done.clone();
        drop(spawn(move || {
            for left in receiver {
                if left == 0 {
                    let _ = done.send(());
                    break;
                }
                if next.send(left - 1).is_err() {
                    break;
                }
            }
        }));
    }
    drop(senders);
    Round::timed(PASSES, || {
        first.send(PASSES).unwrap();
        all_done.recv().unwrap();
    })
}

fn mpsc(producers: usize) -> Round {
    const ITEMS: usize = 400_000;
    Round::timed(ITEMS, || {
        let (sender, receiver) = bounded::<u64>(1_000);
        for _ in 0..producers {
            let sender = sender.clone();
            drop(spawn(move || {
                for n in 0..ITEMS / producers {
                    sender.send(n as u64).unwrap();
                }
            }));
        }
        drop(sender);
        let consumer = spawn(move || receiver.iter().map(black_box).count());
        assert_eq!(consumer.join().unwrap(), ITEMS);
    })
}

fn mutex_free() -> Round {
    const TIMES: usize = 1_000_000;
    let sum = Mutex::new(0);
    Round::timed(TIMES, || {
        for n in 0..TIMES {
            *black_box(&sum).lock().unwrap() += n;
        }
    })
}

fn mutex_contended() -> Round {
    const TASKS: usize = 100;
    const EACH: usize = 2_000;
    let sum = Arc::new(Mutex::new(0));
    let round = Round::timed(TASKS * EACH, || {
        let handles: Vec<_> = (0..TASKS)
            .map(|_| {
                let sum = sum.clone();
                spawn(move || {
                    for n in 0..EACH {
                        let mut sum = sum.lock().unwrap();
                        *sum += 1;
                        if n % 10 == 9 {
                            yield_now();
                        }
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
    assert_eq!(*sum.lock().unwrap(), TASKS * EACH);
    round
}

fn select_of_four() -> Round {
    const TIMES: usize = 200_000;
    let ends: [_; 4] = array::from_fn(|_| bounded::<usize>(1));
    let [(_, a), (_, b), (sender, c), (_, d)] = &ends;
    Round::timed(TIMES, || {
        for n in 0..TIMES {
            sender.send(n).unwrap();
            let item = select! {
                recv(a) -> item => item,
                recv(b) -> item => item,
                recv(c) -> item => item,
                recv(d) -> item => item,
            };
            assert_eq!(item, Ok(n));
        }
    })
}

fn sleep_all(tasks: usize, time: Duration, times: usize) {
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            spawn(move || {
                for _ in 0..times {
                    sleep(time);
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
}

/// Does not return: the watcher ends the process.
fn sleepers(runtime: &Runtime, tasks: usize) {
    let span: &'static Span = Box::leak(Box::new(Span::new(tasks)));
    watch_sleepers(span);
    runtime.block_on(move || {
        for _ in 0..tasks {
            drop(spawn(move || {
                span.start();
                sleep(FOR_EVER);
            }));
        }
        sleep(FOR_EVER);
    });
}

fn generator(task: &Task) {
    const ITEMS: u64 = 1_000_000;
    task.rounds(|| {
        let numbers = Generator::<u64>::new(|y| {
            for n in 0..ITEMS {
                y.suspend(n);
            }
        });
        let began = Instant::now();
        let sum: u64 = numbers.sum();
        let took = began.elapsed();
        assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
        Round {
            took,
            operations: ITEMS,
        }
    });
}

fn switch(task: &Task) {
    const PAIRS: usize = 300_000;
    let main = Greenlet::current();
    let echo = Greenlet::new(move |first: usize| {
        let mut n = first;
        loop {
            n = main.switch(n + 1).expect("main lives").get();
        }
    });
    task.rounds(|| {
        Round::timed(PAIRS, || {
            let mut n = 0;
            for _ in 0..PAIRS {
                n = echo.switch(black_box(n)).expect("it never ends").get();
            }
            assert_eq!(n, PAIRS);
        })
    });
}
