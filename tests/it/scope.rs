//! Scopes: what borrows from the parent is gone before the parent's frame is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::{
    JoinError, OnDeadlock, RunError, Runtime, no_park, park, run, scope, shield, sleep, spawn,
    timeout, yield_now,
};

use crate::watch::{OnDrop, watched};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn tasks_borrow_and_are_joined_on_return() {
    for workers in [1, 3] {
        let total = Runtime::builder().workers(workers).run(|| {
            let total = AtomicUsize::new(0);
            scope(|s| {
                for n in 0..100 {
                    let total = &total;
                    drop(s.spawn(move || {
                        yield_now();
                        total.fetch_add(n, Ordering::Relaxed)
                    }));
                }
            });
            total.into_inner()
        });
        assert_eq!(total.unwrap(), 4950);
    }
}

#[test]
fn a_scope_on_a_plain_thread_uses_the_default_runtime() {
    let text = String::from("borrowed");
    let lengths: Vec<usize> = scope(|s| {
        let tasks: Vec<_> = (0..3).map(|_| s.spawn(|| text.len())).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    assert_eq!(lengths, [8, 8, 8]);
}

#[test]
fn a_panic_of_the_closure_cancels_the_tasks_and_waits_for_them() {
    let result = run(|| {
        let gone = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for _ in 0..5 {
                    let gone = &gone;
                    drop(s.spawn(move || {
                        let _guard = OnDrop(move || {
                            sleep(Duration::from_millis(2));
                            gone.fetch_add(1, Ordering::Relaxed);
                        });
                        park();
                    }));
                }
                yield_now();
                std::panic::panic_any(7_u8)
            })
        }));
        (
            gone.into_inner(),
            caught.map_err(|payload| *payload.downcast::<u8>().unwrap()),
        )
    });
    // Whether or not all of them had started by then.
    assert!(result.0 <= 5);
    assert_eq!(result.1, Err::<(), _>(7));
}

#[test]
fn a_time_out_of_the_parent_ends_the_children_first() {
    let ended = Runtime::builder()
        .virtual_clock()
        .run(|| {
            let ended = AtomicUsize::new(0);
            let result = timeout(Duration::from_secs(1), || {
                scope(|s| {
                    for _ in 0..3 {
                        s.spawn(|| {
                            let _guard = OnDrop(|| {
                                sleep(Duration::from_secs(5));
                                ended.fetch_add(1, Ordering::Relaxed);
                            });
                            sleep(HOUR);
                        });
                    }
                });
            });
            assert!(result.is_err());
            ended.into_inner()
        })
        .unwrap();
    assert_eq!(ended, 3);
}

#[test]
fn a_cancelled_parent_passes_it_on_and_waits() {
    run(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let theirs = ended.clone();
        let parent = spawn(move || {
            let local = [1, 2, 3];
            scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        let _guard = OnDrop(|| {
                            yield_now();
                            theirs.fetch_add(local.len(), Ordering::Relaxed);
                        });
                        park();
                    });
                }
            });
        });
        for _ in 0..10 {
            yield_now();
        }
        parent.cancel();
        assert!(parent.join().unwrap_err().is_cancelled());
        assert!(ended.load(Ordering::Relaxed) <= 9);
    });
}

#[test]
fn a_panic_that_nobody_joined_is_the_scopes() {
    let result = Runtime::builder().run(|| {
        scope(|s| {
            drop(s.spawn(|| panic!("lost?")));
        });
    });
    let RunError::Panicked(payload) = result.unwrap_err() else {
        panic!("another error");
    };
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("scoped task panicked"), "{text}");
}

#[test]
fn a_panic_that_was_joined_is_the_joiners() {
    run(|| {
        scope(|s| {
            let task = s.spawn(|| panic!("seen"));
            assert!(task.join().unwrap_err().is_panic());
        });
    });
}

/// Would the scope's wait panic here, the child would go on with a borrow of a dead frame.
#[test]
fn inside_no_park_a_scope_panics_before_it_has_children() {
    run(|| {
        let has_run = AtomicBool::new(false);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            no_park(|| {
                scope(|s| {
                    s.spawn(|| has_run.store(true, Ordering::Relaxed));
                });
            });
        }));
        let text = *caught.unwrap_err().downcast::<String>().unwrap();
        assert!(
            text.contains("task.scope") && text.contains("no_park"),
            "{text}"
        );
        yield_now();
        assert!(!has_run.load(Ordering::Relaxed));
        // And it is over.
        yield_now();
    });
}

/// The report must not unwind the parent while its child borrows from it.
#[test]
fn a_deadlock_inside_a_scope_ends_the_children_first() {
    watched(|| {
        let ended = AtomicUsize::new(0);
        let result = Runtime::builder().workers(2).closed_world().run(|| {
            let local = String::from("alive");
            scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        let _guard = OnDrop(|| {
                            yield_now();
                            assert_eq!(local, "alive");
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                        park();
                    });
                }
            });
        });
        let RunError::Panicked(payload) = result.unwrap_err() else {
            panic!("another error");
        };
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(
            text.contains("task.scope") && text.contains("task.park"),
            "{text}"
        );
        assert_eq!(ended.into_inner(), 3);
    });
}

#[test]
fn a_deadlock_of_children_that_do_not_end_is_not_raised_again_and_again() {
    watched(|| {
        let runtime = Runtime::builder()
            .workers(1)
            .closed_world()
            .deadlock_grace(Duration::from_millis(1))
            .build()
            .unwrap();
        let stubborn = Arc::new(Mutex::new(None));
        let theirs = stubborn.clone();
        let waker = std::thread::spawn(move || {
            crate::watch::hog(Duration::from_millis(200));
            let task: greenloom::task::Task = stubborn.lock().unwrap().take().unwrap();
            task.unpark();
        });
        let result = runtime.try_block_on(move || {
            scope(|s| {
                s.spawn(|| {
                    *theirs.lock().unwrap() = Some(greenloom::current());
                    // Cancelled, and not to be moved by it.
                    shield(park);
                });
            });
        });
        assert!(matches!(result, Err(RunError::Panicked(_))));
        waker.join().unwrap();
    });
}

#[test]
fn on_deadlock_ignore_lets_a_scope_wait() {
    watched(|| {
        let runtime = Runtime::builder()
            .workers(2)
            .on_deadlock(OnDeadlock::Ignore)
            .build()
            .unwrap();
        let value = runtime.block_on(|| {
            scope(|s| {
                let me = greenloom::current();
                s.spawn(move || me.unpark());
                park();
                5
            })
        });
        assert_eq!(value, 5);
    });
}

#[test]
fn a_task_that_joins_itself_is_told_so() {
    run(|| {
        scope(|s| {
            let slot: Arc<Mutex<Option<greenloom::task::ScopedJoinHandle<'_, bool>>>> =
                Arc::default();
            let theirs = slot.clone();
            let outcome = Arc::new(AtomicBool::new(false));
            let seen = outcome.clone();
            let task = s.spawn(move || {
                loop {
                    let own = theirs.lock().unwrap().take();
                    if let Some(own) = own {
                        let is_told = matches!(own.join(), Err(JoinError::Itself));
                        seen.store(is_told, Ordering::Relaxed);
                        return is_told;
                    }
                    yield_now();
                }
            });
            *slot.lock().unwrap() = Some(task);
            while !outcome.load(Ordering::Relaxed) {
                yield_now();
            }
        });
    });
}

#[test]
fn forgotten_handles_change_nothing() {
    for workers in [1, 4] {
        Runtime::builder()
            .workers(workers)
            .run(|| {
                let count = AtomicUsize::new(0);
                scope(|s| {
                    for _ in 0..50 {
                        std::mem::forget(s.spawn(|| {
                            yield_now();
                            count.fetch_add(1, Ordering::Relaxed);
                            Box::new(1)
                        }));
                    }
                });
                assert_eq!(count.into_inner(), 50);
            })
            .unwrap();
    }
}

#[test]
fn cancelling_a_scope_reaches_children_that_are_born_meanwhile() {
    for _ in 0..50 {
        watched(|| {
            Runtime::builder().workers(3).run(|| {
                scope(|s| {
                    for _ in 0..3 {
                        s.spawn(move || {
                            loop {
                                drop(s.spawn(park));
                                yield_now();
                            }
                        });
                    }
                    for _ in 0..20 {
                        yield_now();
                    }
                    s.cancel();
                });
            })
        })
        .unwrap();
    }
}

#[test]
fn scopes_nest_and_children_spawn_siblings() {
    fn sum(from: u64, to: u64) -> u64 {
        if to - from <= 4 {
            return (from..to).sum();
        }
        let middle = from + (to - from) / 2;
        scope(|s| {
            let left = s.spawn(|| sum(from, middle));
            let right = sum(middle, to);
            left.join().unwrap() + right
        })
    }
    for workers in [1, 4] {
        let sum = Runtime::builder().workers(workers).run(|| sum(0, 4096));
        assert_eq!(sum.unwrap(), 4096 * 4095 / 2);
    }
}

#[test]
fn the_closures_and_values_of_children_are_dropped_before_the_scope_ends() {
    run(|| {
        let drops = AtomicUsize::new(0);
        scope(|s| {
            let captured = OnDrop(|| {
                yield_now();
                drops.fetch_add(1, Ordering::Relaxed);
            });
            let made = || {
                OnDrop(|| {
                    yield_now();
                    drops.fetch_add(1, Ordering::Relaxed);
                })
            };
            drop(s.spawn(move || {
                let _captured = captured;
                made()
            }));
        });
        assert_eq!(drops.into_inner(), 2);
    });
}

#[test]
fn a_child_may_hold_a_std_scope_that_reads_from_the_parent() {
    run(|| {
        let local = [1, 2, 3];
        let sum = scope(|s| {
            s.spawn(|| {
                std::thread::scope(|threads| {
                    let thread = threads.spawn(|| local.iter().sum::<i32>());
                    yield_now();
                    thread.join().unwrap()
                })
            })
            .join()
            .unwrap()
        });
        assert_eq!(sum, 6);
    });
}

/// The value is dropped when the deadline has cut the tasks short; what that drop does to the deadline comes
/// too late.
#[test]
fn a_deadline_that_is_moved_by_the_drop_of_a_scopes_value_has_passed_all_the_same() {
    Runtime::builder()
        .virtual_clock()
        .run(|| {
            let begun = greenloom::time::now();
            let result = greenloom::task::cancel_scope(|outer| {
                outer.set_timeout(Duration::from_secs(1));
                let _value = scope(|s| {
                    s.spawn(|| sleep(HOUR));
                    OnDrop(|| outer.set_timeout(Duration::MAX))
                });
                unreachable!();
            });
            assert!(result.unwrap_err().is_elapsed());
            assert_eq!(greenloom::time::now() - begun, Duration::from_secs(1));
            yield_now();
        })
        .unwrap();
}

#[test]
fn a_scopes_wait_names_its_tasks_in_the_report() {
    watched(|| {
        let result = Runtime::builder().workers(1).closed_world().run(|| {
            scope(|s| {
                for n in 0..6 {
                    let builder = greenloom::Builder::new().name(format!("child-{n}"));
                    drop(s.try_spawn(builder, park).unwrap());
                }
            });
        });
        let RunError::Panicked(payload) = result.unwrap_err() else {
            panic!("another error");
        };
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(
            text.contains("task.scope on 6 tasks: task ") && text.contains("(child-3), and 2 more"),
            "{text}"
        );
    });
}
