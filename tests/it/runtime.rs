//! Runtimes: built, nested, stopped, dropped in odd places; many at once.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::runtime::SpawnError;
use greenloom::{Builder, RunError, Runtime, park, run, sleep, spawn, try_run, yield_now};

use crate::watch::{OnDrop, eventually, hog, watched};

#[test]
fn main_may_borrow_and_its_panic_comes_out_after_the_cleanup() {
    let mut list = vec![1];
    run(|| list.push(2));
    assert_eq!(list, [1, 2]);
    let ended = Arc::new(AtomicBool::new(false));
    let theirs = ended.clone();
    let caught = std::panic::catch_unwind(move || {
        run(move || {
            let task = spawn(move || {
                let _guard = OnDrop(|| {
                    yield_now();
                    theirs.store(true, Ordering::Relaxed);
                });
                park();
            });
            yield_now();
            yield_now();
            assert!(!task.is_finished());
            std::panic::panic_any(3_u8);
        })
    });
    assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 3);
}

#[test]
fn a_run_inside_of_a_task_is_an_error_and_so_is_block_on() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let other = Arc::new(Runtime::builder().workers(1).build().unwrap());
    let nested = runtime.block_on(move || {
        let nested = matches!(try_run(|| ()), Err(RunError::Nested));
        let blocked = matches!(other.try_block_on(|| ()), Err(RunError::Nested));
        // A thread of its own is another matter.
        let thread = std::thread::spawn(|| run(|| 1)).join().unwrap();
        (nested, blocked, thread)
    });
    assert_eq!(nested, (true, true, 1));
}

#[test]
fn bad_settings_are_errors() {
    for builder in [
        Runtime::builder().workers(0),
        Runtime::builder().workers(5000),
        Runtime::builder().stack_size(0),
        Runtime::builder().stack_size(usize::MAX),
        Runtime::builder().thread_name("a\0b"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    run(|| {
        for bytes in [0, usize::MAX] {
            let error = Builder::new().stack_size(bytes).spawn(|| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        for bytes in [1, 4096, 1 << 22] {
            let task = Builder::new()
                .stack_size(bytes)
                .spawn(|| format!("{}", 1.5))
                .unwrap();
            assert_eq!(task.join().unwrap(), "1.5");
        }
    });
}

#[test]
fn a_task_limit_is_an_error_and_room_comes_back() {
    for workers in [1, 2] {
        let runtime = Runtime::builder()
            .workers(workers)
            .task_limit(4)
            .build()
            .unwrap();
        for _ in 0..10 {
            runtime.block_on(|| {
                let tasks: Vec<_> = (0..3)
                    .map(|_| Builder::new().spawn(park).unwrap())
                    .collect();
                let error = Builder::new().spawn(park).unwrap_err();
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
                assert_eq!(inner, Some(&SpawnError::Full { limit: 4 }));
                for task in tasks {
                    task.cancel();
                    assert!(task.join().unwrap_err().is_cancelled());
                }
                // The last has told its joiner a moment before it makes room.
                sleep(Duration::from_millis(2));
            });
            assert!(eventually(|| {
                let spawned = runtime.handle().spawn(|| ());
                spawned.is_ok_and(|task| task.join().is_ok())
            }));
        }
    }
}

#[test]
fn the_main_task_of_run_does_not_upset_the_task_limit() {
    let spawned = Runtime::builder().task_limit(2).workers(1).run(|| {
        let task = Builder::new().spawn(|| 1).unwrap();
        task.join().unwrap()
    });
    assert_eq!(spawned.unwrap(), 1);
}

#[test]
fn a_runtime_dropped_by_one_of_its_own_tasks_ends_by_itself() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let handle = runtime.handle();
        let left = handle.spawn(park).unwrap();
        let task = handle.spawn(move || drop(runtime)).unwrap();
        let _ = task.join();
        assert!(left.join().unwrap_err().is_cancelled());
        assert!(eventually(|| handle.spawn(|| ()).is_err()));
    });
}

#[test]
fn a_runtime_dropped_by_a_task_of_another_is_stopped() {
    watched(|| {
        let inner = Runtime::builder().workers(1).build().unwrap();
        let left = inner.handle().spawn(park).unwrap();
        run(move || drop(inner));
        assert!(left.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn foreign_threads_may_spawn_while_it_stops() {
    for _ in 0..30 {
        watched(|| {
            let runtime = Runtime::builder().workers(2).build().unwrap();
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let handle = runtime.handle();
                    std::thread::spawn(move || {
                        let mut tasks = Vec::new();
                        while let Ok(task) = handle.spawn(|| {
                            yield_now();
                            1
                        }) {
                            tasks.push(task);
                            if tasks.len() > 3000 {
                                hog(Duration::from_micros(50));
                            }
                        }
                        // Each of them ends, one way or the other.
                        let count = tasks.len();
                        let done = tasks
                            .into_iter()
                            .filter_map(|task| task.join().ok())
                            .count();
                        assert!(done <= count);
                    })
                })
                .collect();
            hog(Duration::from_millis(2));
            runtime.stop();
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }
}

#[test]
fn stopping_ends_what_runs_waits_and_has_not_started() {
    for workers in [1, 4] {
        watched(move || {
            let drops = Arc::new(AtomicUsize::new(0));
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            for n in 0..400 {
                let guard = {
                    let drops = drops.clone();
                    OnDrop(move || {
                        if n % 3 == 0 {
                            yield_now();
                        }
                        drops.fetch_add(1, Ordering::Relaxed);
                    })
                };
                let body = move || {
                    let _guard = guard;
                    match n % 4 {
                        0 => park(),
                        1 => sleep(Duration::from_secs(1000)),
                        2 => drop(spawn(park)),
                        _ => loop {
                            yield_now();
                        },
                    }
                };
                drop(runtime.handle().spawn(body).unwrap());
            }
            runtime.stop();
            assert_eq!(drops.load(Ordering::Relaxed), 400);
        });
    }
}

#[test]
fn a_destructor_may_spawn_while_it_stops() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        for _ in 0..20 {
            let body = || {
                let _guard = OnDrop(|| {
                    let task = spawn(|| unreachable!("spawned cancelled"));
                    assert!(task.join().unwrap_err().is_cancelled());
                    assert!(Builder::new().spawn(|| ()).is_err());
                });
                park();
            };
            drop(runtime.handle().spawn(body).unwrap());
        }
        runtime.block_on(|| sleep(Duration::from_millis(5)));
        runtime.stop();
    });
}

#[test]
fn many_runtimes_live_side_by_side() {
    watched(|| {
        let runtimes: Vec<_> = (0..10)
            .map(|_| Runtime::builder().workers(2).build().unwrap())
            .collect();
        for (n, runtime) in runtimes.iter().enumerate() {
            let others: Vec<_> = runtimes.iter().map(Runtime::handle).collect();
            let sum = runtime.block_on(move || {
                let tasks: Vec<_> = others
                    .iter()
                    .map(|there| there.spawn(move || n).unwrap())
                    .collect();
                tasks
                    .into_iter()
                    .map(|task| task.join().unwrap())
                    .sum::<usize>()
            });
            assert_eq!(sum, n * 10);
        }
    });
}

/// A worker that was woken to search, and found work in the injector, must not count as a searcher while
/// it runs that: nobody would be woken for what it spawns.
#[test]
fn what_a_hogging_task_has_spawned_is_started_by_an_idle_worker() {
    for _ in 0..10 {
        watched(|| {
            let runtime = Runtime::builder().workers(2).build().unwrap();
            // Both are asleep.
            hog(Duration::from_millis(5));
            let started = Arc::new(AtomicBool::new(false));
            let theirs = started.clone();
            let task = runtime.handle().spawn(move || {
                let mark = theirs.clone();
                drop(spawn(move || mark.store(true, Ordering::Relaxed)));
                // Never suspends: only the other worker can start it.
                eventually(|| theirs.load(Ordering::Relaxed))
            });
            assert!(task.unwrap().join().unwrap());
        });
    }
}

#[test]
fn all_workers_take_part() {
    watched(|| {
        Runtime::builder().workers(4).run(|| {
            let threads = std::sync::Mutex::new(std::collections::HashSet::new());
            greenloom::scope(|s| {
                for _ in 0..64 {
                    s.spawn(|| {
                        hog(Duration::from_millis(1));
                        threads.lock().unwrap().insert(std::thread::current().id());
                    });
                }
            });
            assert_eq!(threads.into_inner().unwrap().len(), 4);
        })
    })
    .unwrap();
}

#[test]
fn a_runtime_may_be_run_while_the_thread_unwinds() {
    let caught = std::panic::catch_unwind(|| {
        let _guard = OnDrop(|| {
            run(|| {
                let task = spawn(park);
                yield_now();
                task.cancel();
                assert!(task.join().unwrap_err().is_cancelled());
                assert!(greenloom::timeout(Duration::from_millis(1), park).is_err());
            });
        });
        panic!("on purpose");
    });
    assert!(caught.is_err());
}

#[test]
fn the_default_runtime_can_be_stopped_and_comes_back() {
    // Others use it at the same time, so only what holds under that is asked.
    let task = spawn(|| 1);
    assert_eq!(task.join().unwrap(), 1);
    assert!(greenloom::runtime::set_default(Runtime::builder()).is_err());
}

#[test]
fn an_idle_runtime_of_several_workers_is_not_reported() {
    let runtime = Runtime::builder()
        .workers(3)
        .deadlock_grace(Duration::from_millis(1))
        .build()
        .unwrap();
    hog(Duration::from_millis(20));
    assert_eq!(runtime.block_on(|| 1), 1);
}

/// The order to stop came while the worker looked outside before it moved its clock, and was read there: the
/// worker then slept for ever.
#[test]
fn a_runtime_with_a_virtual_clock_is_stopped_whenever_the_order_comes() {
    crate::watch::watched(|| {
        for round in 0..500 {
            let runtime = Runtime::builder().virtual_clock().build().unwrap();
            runtime.block_on(move || {
                if round % 2 == 0 {
                    greenloom::sleep(Duration::from_secs(1));
                }
            });
            drop(runtime);
        }
    });
}
