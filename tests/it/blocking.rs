//! Work on threads of its own: values, panics, cancellation, a pool that is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::{JoinError, Runtime, run, spawn, unblock, yield_now};

use crate::watch::{OnDrop, hog, watched};

#[test]
fn the_value_and_the_panic_come_back() {
    run(|| {
        assert_eq!(unblock(|| 5), 5);
        let task = spawn(|| unblock(|| std::panic::panic_any(6_u8)));
        let JoinError::Panicked(panic) = task.join().unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(*panic.into_payload().downcast::<u8>().unwrap(), 6);
    });
    assert_eq!(unblock(|| 7), 7);
}

#[test]
fn other_tasks_go_on_meanwhile() {
    watched(|| {
        Runtime::builder().workers(1).run(|| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let waiting = spawn(move || unblock(move || receiver.recv().unwrap()));
            let sending = spawn(move || {
                for _ in 0..10 {
                    yield_now();
                }
                sender.send(9).unwrap();
            });
            assert_eq!(waiting.join().unwrap(), 9);
            sending.join().unwrap();
        })
    })
    .unwrap();
}

#[test]
fn a_cancelled_caller_leaves_at_once_and_the_value_is_dropped() {
    watched(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let theirs = drops.clone();
        run(move || {
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            let task = spawn(move || {
                unblock(move || {
                    let _ = receiver.recv();
                    OnDrop(move || {
                        theirs.fetch_add(1, Ordering::Relaxed);
                    })
                });
            });
            for _ in 0..50 {
                yield_now();
            }
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            drop(sender);
        });
        assert!(drops.load(Ordering::Relaxed) <= 1);
    });
}

#[test]
fn a_full_pool_and_nested_calls_do_not_hang() {
    watched(|| {
        let runtime = Runtime::builder()
            .workers(2)
            .blocking_threads(2)
            .build()
            .unwrap();
        let sum = runtime.block_on(|| {
            let tasks: Vec<_> = (0..50_u32)
                .map(|n| {
                    spawn(move || {
                        unblock(move || {
                            hog(Duration::from_micros(100));
                            unblock(move || n)
                        })
                    })
                })
                .collect();
            tasks
                .into_iter()
                .map(|task| task.join().unwrap())
                .sum::<u32>()
        });
        assert_eq!(sum, 49 * 50 / 2);
    });
}

#[test]
fn a_stop_waits_for_the_jobs() {
    let done = Arc::new(AtomicUsize::new(0));
    let runtime = Runtime::builder().workers(1).build().unwrap();
    for _ in 0..5 {
        let done = done.clone();
        let body = move || {
            unblock(move || {
                hog(Duration::from_millis(5));
                done.fetch_add(1, Ordering::Relaxed);
            });
        };
        drop(runtime.handle().spawn(body).unwrap());
    }
    runtime.block_on(|| greenloom::sleep(Duration::from_millis(2)));
    runtime.stop();
    assert_eq!(done.load(Ordering::Relaxed), 5);
}

#[test]
fn a_runtime_on_a_blocking_thread_has_blocking_threads_too() {
    watched(|| {
        let inner = || {
            Runtime::builder().workers(1).run(|| {
                let (sender, receiver) = std::sync::mpsc::channel();
                drop(spawn(move || sender.send(9).unwrap()));
                unblock(move || receiver.recv().unwrap())
            })
        };
        assert_eq!(run(move || unblock(inner)).unwrap(), 9);
    });
}
