//! may: one or two workers, all else as it comes (stacks of 32 KiB, pinned workers).
//!
//! It has no bounded channel. Ping-pong and ring take its unbounded one, for at most one message is in
//! flight; the bounded queue is that channel with a semaphore of 1,000 permits.

use std::array;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use may::coroutine::{JoinHandle, sleep, yield_now};
use may::go;
use may::sync::{Mutex, Semphore, mpsc};

use super::may_net;
use crate::cases::What;
use crate::child::measure::{Cannot, Round, Task, cannot};
use crate::child::memory::{FOR_EVER, short_sleep, timers, watch_sleepers};
use crate::child::span::{Span, yields_each};

/// Two mappings a stack, and Linux allows 65,530 of them in a process.
const MOST: usize = 30_000;

fn root<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    go!(body).join().unwrap()
}

pub(super) fn run(task: &Task) -> Result<(), Cannot> {
    let size = task.size;
    let is_crowd = match task.what {
        // Breadth first: most of the tree is alive at once.
        What::Skynet | What::Yield | What::Sleepers | What::Timers => size > MOST,
        What::Fib => size > 20,
        _ => false,
    };
    if is_crowd {
        return cannot("its stacks take two mappings each: it ends at 32,700 (vm.max_map_count)");
    }
    may::config().set_workers(task.workers);
    let rounds = |round: fn(usize) -> Round| task.rounds(|| root(move || round(size)));
    let sleep_all = |tasks, time, times| root(move || sleep_all(tasks, time, times));
    match task.what {
        What::Yield => rounds(yields),
        What::SpawnJoin => rounds(|_| spawn_join()),
        What::Skynet => rounds(skynet),
        What::Fib => rounds(fibonacci),
        // With one of two workers computing, the tasks that it was handed never start.
        What::Unbalanced => return cannot("tasks that were handed to a busy worker wait for it"),
        What::PingPong => rounds(|_| ping_pong()),
        What::Ring => rounds(|_| ring()),
        What::Mpsc => rounds(items),
        What::MutexFree => rounds(|_| mutex_free()),
        What::MutexContended => rounds(|_| mutex_contended()),
        What::Select => {
            return cannot("its select spawns the arms, and the losers lose their items");
        }
        What::Timers => timers(task, sleep_all),
        What::ShortSleep => short_sleep(task, sleep_all),
        What::Sleepers => {
            sleep_all(1, Duration::from_millis(1), 1);
            sleepers(size);
        }
        what if what.is_served() => may_net::serve(what),
        What::Generator | What::Switch => return cannot("see the generator crate"),
        _ => return cannot("no functions in other processes"),
    }
    Ok(())
}

fn yields(tasks: usize) -> Round {
    let each = yields_each(tasks);
    let span = Arc::new(Span::new(tasks));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let span = span.clone();
            go!(move || {
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
    const BATCHES: usize = 20;
    const BATCH: usize = 1_000;
    Round::timed(BATCHES * BATCH, || {
        for _ in 0..BATCHES {
            let handles: Vec<_> = (0..BATCH).map(|n| go!(move || black_box(n))).collect();
            let sum: usize = handles.into_iter().map(|h| h.join().unwrap()).sum();
            assert_eq!(sum, BATCH * (BATCH - 1) / 2);
        }
    })
}

fn node(first: usize, leaves: usize) -> JoinHandle<usize> {
    go!(move || {
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
    go!(move || {
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

fn ping_pong() -> Round {
    const TRIPS: usize = 50_000;
    let (there, their_end) = mpsc::channel::<usize>();
    let (back, our_end) = mpsc::channel::<usize>();
    let echo = go!(move || {
        while let Ok(item) = their_end.recv() {
            back.send(item).unwrap();
        }
    });
    let asker = go!(move || {
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
    const PASSES: usize = 100_000;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..TASKS).map(|_| mpsc::channel::<usize>()).unzip();
    let first = senders[0].clone();
    let (done, all_done) = mpsc::channel::<()>();
    for (n, receiver) in receivers.into_iter().enumerate() {
        let next = senders[(n + 1) % TASKS].clone();
        let done = done.clone();
        go!(move || {
            while let Ok(left) = receiver.recv() {
                if left == 0 {
                    let _ = done.send(());
                    break;
                }
                if next.send(left - 1).is_err() {
                    break;
                }
            }
        });
    }
    drop(senders);
    Round::timed(PASSES, || {
        first.send(PASSES).unwrap();
        all_done.recv().unwrap();
    })
}

fn items(producers: usize) -> Round {
    const ITEMS: usize = 200_000;
    Round::timed(ITEMS, || {
        let (sender, receiver) = mpsc::channel::<u64>();
        let room = Arc::new(Semphore::new(1_000));
        for _ in 0..producers {
            let (sender, room) = (sender.clone(), room.clone());
            go!(move || {
                for n in 0..ITEMS / producers {
                    room.wait();
                    sender.send(n as u64).unwrap();
                }
            });
        }
        drop(sender);
        let consumer = go!(move || {
            let mut count = 0;
            while let Ok(item) = receiver.recv() {
                room.post();
                black_box(item);
                count += 1;
            }
            count
        });
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
    const EACH: usize = 1_000;
    let sum = Arc::new(Mutex::new(0));
    let round = Round::timed(TASKS * EACH, || {
        let handles: Vec<_> = (0..TASKS)
            .map(|_| {
                let sum = sum.clone();
                go!(move || {
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

fn sleep_all(tasks: usize, time: Duration, times: usize) {
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            go!(move || {
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
fn sleepers(tasks: usize) {
    let span: &'static Span = Box::leak(Box::new(Span::new(tasks)));
    watch_sleepers(span);
    root(move || {
        for _ in 0..tasks {
            go!(move || {
                span.start();
                sleep(FOR_EVER);
            });
        }
        sleep(FOR_EVER);
    });
}
