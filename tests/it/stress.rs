//! Many of everything: what a rare interleaving breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::task::Task;
use greenloom::{
    Runtime, park, park_timeout, scope, sleep, spawn, spawn_local, timeout, yield_now,
};

use crate::watch::{hog, watched};

/// Smaller under a sanitizer or without optimisation.
const MANY: usize = if cfg!(any(gl_asan, debug_assertions)) {
    100_000
} else {
    1_000_000
};

#[test]
fn a_task_may_spawn_a_great_many() {
    for workers in [1, 2] {
        watched(move || {
            Runtime::builder().workers(workers).run(|| {
                let count = Arc::new(AtomicUsize::new(0));
                for _ in 0..MANY {
                    let count = count.clone();
                    drop(spawn(move || count.fetch_add(1, Ordering::Relaxed)));
                }
                while count.load(Ordering::Relaxed) < MANY {
                    sleep(Duration::from_millis(1));
                }
            })
        })
        .unwrap();
    }
}

#[test]
fn parks_and_unparks_across_workers_are_never_lost() {
    watched(|| {
        Runtime::builder().workers(4).run(|| {
            scope(|s| {
                for _ in 0..8 {
                    s.spawn(|| {
                        let me = greenloom::current();
                        let other = spawn(move || {
                            let partner: Task = me;
                            for _ in 0..500 {
                                partner.unpark();
                                park();
                            }
                        });
                        let theirs = other.task();
                        for _ in 0..500 {
                            park();
                            theirs.unpark();
                        }
                        other.join().unwrap();
                    });
                }
            });
        })
    })
    .unwrap();
}

#[test]
fn foreign_threads_unpark_tasks() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let pairs: Vec<_> = (0..4)
            .map(|_| {
                let is_done = Arc::new(AtomicBool::new(false));
                let theirs = is_done.clone();
                let task = runtime.handle().spawn(move || {
                    for _ in 0..300 {
                        park();
                    }
                    theirs.store(true, Ordering::Relaxed);
                });
                let task = task.unwrap();
                let target = task.task();
                let thread = std::thread::spawn(move || {
                    let mut round = 0_u32;
                    while !is_done.load(Ordering::Relaxed) {
                        target.unpark();
                        round += 1;
                        if round.is_multiple_of(8) {
                            // Long enough for the workers to fall asleep, now and then.
                            hog(Duration::from_micros(u64::from(round % 64)));
                        }
                    }
                });
                (task, thread)
            })
            .collect();
        for (task, thread) in pairs {
            task.join().unwrap();
            thread.join().unwrap();
        }
    });
}

#[test]
fn cancellations_meet_everything() {
    watched(|| {
        Runtime::builder().workers(4).run(|| {
            for round in 0..40_u64 {
                let tasks: Vec<_> = (0..40_u64)
                    .map(|n| {
                        spawn(move || match (n + round) % 6 {
                            0 => park(),
                            1 => sleep(Duration::from_micros(n * 10)),
                            2 => {
                                let inner = spawn(park);
                                let _ = inner.join();
                            }
                            3 => {
                                let _ = timeout(Duration::from_micros(50), park);
                                let _ = park_timeout(Duration::from_micros(20));
                            }
                            4 => scope(|s| {
                                for _ in 0..3 {
                                    s.spawn(|| sleep(Duration::from_micros(n)));
                                }
                            }),
                            _ => {
                                let local = spawn_local(yield_now);
                                local.join().unwrap();
                            }
                        })
                    })
                    .collect();
                if round % 2 == 0 {
                    yield_now();
                }
                let cancellers: Vec<_> = tasks
                    .into_iter()
                    .map(|task| {
                        spawn(move || {
                            task.cancel();
                            let _ = task.join();
                        })
                    })
                    .collect();
                for canceller in cancellers {
                    canceller.join().unwrap();
                }
            }
        })
    })
    .unwrap();
}

#[test]
fn joins_meet_ends_on_other_workers() {
    watched(|| {
        Runtime::builder().workers(4).run(|| {
            for round in 0..300 {
                let tasks: Vec<_> = (0..20)
                    .map(|n| {
                        spawn(move || {
                            if (n + round) % 3 == 0 {
                                yield_now();
                            }
                            n
                        })
                    })
                    .collect();
                let joiners: Vec<_> = tasks
                    .into_iter()
                    .map(|task| {
                        spawn(move || match task.join_timeout(Duration::from_micros(5)) {
                            Ok(value) => value.unwrap(),
                            Err(task) => task.join().unwrap(),
                        })
                    })
                    .collect();
                let sum: usize = joiners.into_iter().map(|task| task.join().unwrap()).sum();
                assert_eq!(sum, 190);
            }
        })
    })
    .unwrap();
}

#[test]
fn runtimes_come_and_go() {
    watched(|| {
        for n in 0..100 {
            let runtime = Runtime::builder().workers(1 + n % 4).build().unwrap();
            let tasks: Vec<_> = (0..n)
                .map(|_| {
                    runtime
                        .handle()
                        .spawn(|| sleep(Duration::from_micros(100)))
                        .unwrap()
                })
                .collect();
            if n % 2 == 0 {
                runtime.block_on(yield_now);
            }
            drop(runtime);
            for task in tasks {
                let _ = task.join();
            }
        }
    });
}

#[test]
fn a_program_that_spawns_and_joins_for_ever_keeps_its_size() {
    watched(|| {
        Runtime::builder().workers(2).run(|| {
            for _ in 0..20_000 {
                spawn(|| ()).join().unwrap();
            }
        })
    })
    .unwrap();
}
