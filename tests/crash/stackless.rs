//! Tasks for which there is no memory for a stack: they wait, or end with an error.
#![allow(
    clippy::disallowed_methods,
    reason = "a process of its own may block its threads"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenloom::{JoinError, Runtime, park, run, sleep, spawn};

use crate::child::{self, Child};
use crate::tasks::{OnDrop, doze};

/// Each of them ends, most by waiting for a stack, or without one; nothing aborts and nothing hangs.
#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's shadow does not fit into the limit"
)]
fn without_memory_for_stacks_tasks_wait_or_end_with_an_error() {
    if child::is_emulated() {
        return;
    }
    for (workers, limit) in [
        ("1", "ulimit -v 2000000"),
        ("3", "ulimit -v 2000000"),
        // Small: the stacks must leave room for the heap that the waiting tasks take.
        ("1", "ulimit -v 400000"),
    ] {
        let outcome = Child::default()
            .limit(limit)
            .env("GREENLOOM_WORKERS", workers)
            .run(|| {
                let begun = Instant::now();
                run(|| {
                    // They end, so those that wait get their stacks in the end.
                    let tasks: Vec<_> = (0..30_000)
                        .map(|_| spawn(|| sleep(Duration::from_millis(1))))
                        .collect();
                    let mut failed = 0;
                    for task in tasks {
                        match task.join() {
                            Ok(()) => {}
                            Err(JoinError::NoStack(_)) => failed += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    println!("{failed} without a stack");
                    // Nothing will ever end here.
                    let released = Arc::new(AtomicBool::new(false));
                    let tasks: Vec<_> = (0..30_000)
                        .map(|_| {
                            let released = released.clone();
                            spawn(move || {
                                while !released.load(Ordering::Relaxed) {
                                    greenloom::park_timeout(Duration::from_millis(300));
                                }
                            })
                        })
                        .collect();
                    sleep(Duration::from_millis(500));
                    released.store(true, Ordering::Relaxed);
                    let ended = tasks
                        .into_iter()
                        .filter(|_| true)
                        .map(|task| task.join())
                        .filter(|outcome| matches!(outcome, Ok(()) | Err(JoinError::NoStack(_))))
                        .count();
                    assert_eq!(ended, 30_000);
                    assert_eq!(spawn(|| 7).join().unwrap(), 7);
                });
                println!("{:?}", begun.elapsed());
            });
        outcome.assert_success();
    }
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's shadow does not fit into the limit"
)]
fn what_can_never_get_a_stack_ends_with_an_error_that_names_the_limit() {
    let outcome = Child::default().limit("ulimit -v 1000000").run(|| {
        Runtime::builder()
            .workers(1)
            .closed_world()
            .run(|| {
                let mut stuck: Vec<_> = (0..10_000).map(|_| spawn(park)).collect();
                // Until as many have started as can.
                sleep(Duration::from_millis(1));
                let last = stuck.pop().unwrap();
                let Err(JoinError::NoStack(error)) = last.join() else {
                    panic!("no error");
                };
                assert!(error.to_string().contains("RLIMIT_AS"), "{error}");
                // Those that got one are there still.
                assert!(stuck.iter().any(|task| !task.is_finished()));
                println!("{error}");
            })
            .unwrap();
    });
    outcome.assert_success();
}

/// The tasks that wait stand on one worker, the stacks come free on the other.
#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's shadow does not fit into the limit"
)]
fn a_stack_that_comes_free_on_one_worker_goes_to_a_task_of_another() {
    use greenloom::stack::StackSize;
    use greenloom::stack::bare::Held;

    let outcome = Child::default().limit("ulimit -v 1000000").run(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let [ready, met, go_on] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let until = |flag: &AtomicBool| {
            while !flag.load(Ordering::Acquire) {
                doze(Duration::from_millis(1)); // and keeps its worker from starting another
            }
        };
        let theirs = (ready.clone(), met.clone(), go_on.clone());
        // Somebody sleeps all the time: this is no standstill.
        drop(
            runtime
                .handle()
                .spawn(|| sleep(Duration::from_secs(60)))
                .unwrap(),
        );
        let holder = runtime.handle().spawn(move || {
            let held: Vec<_> = (0..8).map(|_| greenloom::spawn_local(park)).collect();
            sleep(Duration::from_millis(1));
            let (ready, met, go_on) = theirs;
            ready.store(true, Ordering::Release);
            until(&met);
            while !go_on.load(Ordering::Acquire) {
                sleep(Duration::from_millis(5));
            }
            for task in held {
                task.task().unpark();
                task.join().unwrap();
            }
        });
        until(&ready);
        let count = Arc::new(AtomicUsize::new(0));
        let waiter = runtime.handle().spawn(move || {
            met.store(true, Ordering::Release); // so this is another worker
            let mut all = Vec::with_capacity(10_000);
            while let Ok(stack) = Held::acquire(StackSize::DEFAULT) {
                all.push(stack);
            }
            let waiting: Vec<_> = (0..300)
                .map(|_| {
                    let count = count.clone();
                    greenloom::spawn_local(move || {
                        count.fetch_add(1, Ordering::Relaxed);
                        park();
                    })
                })
                .collect();
            sleep(Duration::from_millis(100));
            let before = count.load(Ordering::Relaxed);
            assert!(before < 200, "{before} of 300 have a stack");
            go_on.store(true, Ordering::Release);
            let begun = Instant::now();
            while count.load(Ordering::Relaxed) < before + 8 {
                assert!(begun.elapsed() < Duration::from_secs(10));
                sleep(Duration::from_millis(5));
            }
            drop(waiting);
            std::mem::forget(all);
        });
        waiter.unwrap().join().unwrap();
        holder.unwrap().join().unwrap();
        // SAFETY: ends the process: what still waits for a stack would wait for the sleeper.
        unsafe { libc::_exit(0) };
    });
    outcome.assert_success();
}

#[test]
fn a_stop_with_tasks_that_wait_for_stacks_ends() {
    if cfg!(any(gl_asan, gl_tsan)) {
        return;
    }
    for workers in [1, 2] {
        let outcome = Child::default()
            .limit("ulimit -v 1500000")
            .env("GREENLOOM_WORKERS", if workers == 1 { "1" } else { "2" })
            .run(|| {
                let ended = Arc::new(AtomicUsize::new(0));
                let theirs = ended.clone();
                run(move || {
                    for _ in 0..20_000 {
                        let ended = theirs.clone();
                        let guard = OnDrop(move || {
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                        drop(spawn(move || {
                            let _guard = guard;
                            park();
                        }));
                    }
                    sleep(Duration::from_millis(300));
                });
                assert_eq!(ended.load(Ordering::Relaxed), 20_000);
            });
        outcome.assert_success();
    }
}
