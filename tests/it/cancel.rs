//! Cancellation: it unwinds like a dropped future, runs every destructor, and loses nothing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::task::{checkpoint, is_cancelled};
use greenloom::{JoinError, Runtime, park, run, scope, shield, sleep, spawn, timeout, yield_now};

use crate::watch::{OnDrop, watched};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn virtually<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    watched(|| Runtime::builder().virtual_clock().run(f).unwrap())
}

#[test]
fn a_parked_task_unwinds_at_once_with_its_destructors_and_without_the_hook() {
    run(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let theirs = drops.clone();
        let started = Arc::new(AtomicBool::new(false));
        let announce = started.clone();
        let task = spawn(move || {
            let _outer = OnDrop(|| {
                theirs.fetch_add(1, Ordering::Relaxed);
            });
            let _inner = OnDrop(|| {
                // Destructors may wait.
                yield_now();
                sleep(Duration::from_millis(1));
                theirs.fetch_add(10, Ordering::Relaxed);
            });
            announce.store(true, Ordering::Relaxed);
            park();
        });
        // On several workers it may take a while; one that has not started never would.
        while !started.load(Ordering::Relaxed) {
            yield_now();
        }
        task.cancel();
        task.cancel();
        assert!(matches!(task.join(), Err(JoinError::Cancelled)));
        assert_eq!(drops.load(Ordering::Relaxed), 11);
    });
}

#[test]
fn a_task_that_has_not_started_never_does_but_drops_its_closure_where_drops_may_wait() {
    Runtime::builder()
        .workers(1)
        .run(|| {
            let state = Arc::new(AtomicUsize::new(0));
            let (ran, dropped) = (state.clone(), state.clone());
            let guard = OnDrop(move || {
                yield_now();
                sleep(Duration::from_millis(1));
                dropped.fetch_add(1, Ordering::Relaxed);
            });
            let task = spawn(move || {
                let _guard = guard;
                ran.fetch_add(100, Ordering::Relaxed);
            });
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(state.load(Ordering::Relaxed), 1);
        })
        .unwrap();
}

#[test]
fn a_value_that_came_first_wins() {
    run(|| {
        let task = spawn(|| 7);
        yield_now();
        task.cancel();
        let done = task.join();
        // On several workers it may not have started yet.
        assert!(matches!(done, Ok(7) | Err(JoinError::Cancelled)));
        let task = spawn(|| {
            shield(yield_now);
            8
        });
        yield_now();
        let cancelled_late = task.task();
        drop(cancelled_late);
        task.cancel();
        assert!(matches!(task.join(), Ok(8) | Err(JoinError::Cancelled)));
    });
}

#[test]
fn shield_lets_a_section_finish_and_the_next_wait_unwinds() {
    Runtime::builder()
        .workers(1)
        .run(|| {
            let steps = Arc::new(AtomicUsize::new(0));
            let theirs = steps.clone();
            let task = spawn(move || {
                shield(|| {
                    yield_now();
                    sleep(Duration::from_millis(1));
                    assert!(!is_cancelled());
                    theirs.fetch_add(1, Ordering::Relaxed);
                });
                assert!(is_cancelled());
                yield_now();
                theirs.fetch_add(10, Ordering::Relaxed);
            });
            yield_now();
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(steps.load(Ordering::Relaxed), 1);
        })
        .unwrap();
}

#[test]
fn a_checkpoint_ends_a_computation() {
    run(|| {
        let task = spawn(|| {
            loop {
                std::hint::spin_loop();
                checkpoint();
                yield_now();
            }
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_cancelled_task_may_run_a_time_out_in_a_destructor() {
    virtually(|| {
        let expired = Arc::new(AtomicUsize::new(0));
        let theirs = expired.clone();
        let task = spawn(move || {
            let _guard = OnDrop(|| {
                let begun = greenloom::time::now();
                let result = timeout(SECOND, || sleep(HOUR));
                assert!(result.is_err());
                assert_eq!(greenloom::time::now() - begun, SECOND);
                theirs.fetch_add(1, Ordering::Relaxed);
                // And again, nested.
                let inner = timeout(SECOND, || timeout(HOUR, || sleep(2 * HOUR)));
                assert!(inner.is_err());
                theirs.fetch_add(1, Ordering::Relaxed);
            });
            park();
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(expired.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_swallowed_time_out_in_a_loop_does_not_count_for_ever() {
    virtually(|| {
        for _ in 0..100 {
            // A handler that is guarded against panics, as servers do.
            let result = timeout(SECOND, || {
                catch_unwind(AssertUnwindSafe(|| sleep(HOUR))).is_err()
            });
            assert_eq!(result, Ok(true));
        }
        sleep(SECOND);
    });
}

#[test]
fn a_few_swallowed_cancellations_do_no_harm() {
    run(|| {
        let task = spawn(|| {
            let mut swallowed = 0;
            while swallowed < 5 {
                swallowed += usize::from(catch_unwind(AssertUnwindSafe(park)).is_err());
            }
            swallowed
        });
        yield_now();
        task.cancel();
        assert!(matches!(task.join(), Ok(5) | Err(JoinError::Cancelled)));
    });
}

/// The guard of a neighbour that is parked in the midst of its unwinding must not keep this task's
/// cancellation away: it waits for that very cancellation.
#[test]
fn a_destructor_may_cancel_and_join_a_neighbour() {
    watched(|| {
        Runtime::builder().workers(1).run(|| {
            let victim = spawn(|| {
                let _guard = OnDrop(yield_now);
                park();
            });
            yield_now();
            let task = spawn(move || {
                let mut victim = Some(victim);
                let _guard = OnDrop(move || {
                    let victim = victim.take().unwrap();
                    victim.cancel();
                    assert!(victim.join().unwrap_err().is_cancelled());
                });
                panic!("on purpose");
            });
            assert!(task.join().unwrap_err().is_panic());
        })
    })
    .unwrap();
}

/// A panic that was caught while a neighbour unwinds leaves it in doubt whether the task unwinds itself; its
/// time-out must come when the doubt is over.
#[test]
fn a_time_out_survives_the_doubt_that_a_neighbours_unwinding_casts() {
    virtually(|| {
        let sleeper = spawn(|| {
            let _guard = OnDrop(|| sleep(10 * SECOND));
            panic!("on purpose");
        });
        yield_now();
        let doubtful = spawn(|| {
            assert!(catch_unwind(|| panic!("caught")).is_err());
            timeout(SECOND, || sleep(HOUR))
        });
        let other = spawn(|| {
            assert!(catch_unwind(|| panic!("caught")).is_err());
            park();
        });
        yield_now();
        other.cancel();
        let begun = greenloom::time::now();
        assert!(doubtful.join().unwrap().is_err());
        assert!(greenloom::time::now() - begun <= 10 * SECOND);
        assert!(sleeper.join().unwrap_err().is_panic());
        assert!(other.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn cancellation_works_while_a_neighbour_sleeps_in_its_unwinding() {
    virtually(|| {
        let sleeper = spawn(|| {
            let _guard = OnDrop(|| sleep(10 * SECOND));
            panic!("on purpose");
        });
        yield_now();
        let begun = greenloom::time::now();
        assert!(timeout(SECOND, || sleep(HOUR)).is_err());
        assert_eq!(greenloom::time::now() - begun, SECOND);
        let task = spawn(park);
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(greenloom::time::now() - begun, SECOND);
        assert!(sleeper.join().unwrap_err().is_panic());
    });
}

#[test]
fn many_unwind_at_once_and_end_in_any_order() {
    virtually(|| {
        let tasks: Vec<_> = (0..50_u64)
            .map(|n| {
                spawn(move || {
                    let _guard = OnDrop(move || sleep(Duration::from_millis((n * 37) % 50)));
                    if n % 2 == 0 {
                        panic!("on purpose");
                    }
                    park();
                })
            })
            .collect();
        yield_now();
        tasks.iter().for_each(|task| task.cancel());
        for (n, task) in tasks.into_iter().enumerate() {
            let error = task.join().unwrap_err();
            assert_eq!(error.is_panic(), n % 2 == 0);
        }
        assert!(!std::thread::panicking());
    });
}

#[test]
fn a_rethrown_cancellation_of_another_task_is_no_harm() {
    run(|| {
        let stolen: Arc<Mutex<Option<Box<dyn std::any::Any + Send>>>> = Arc::default();
        let theirs = stolen.clone();
        let thief = spawn(move || {
            let payload = catch_unwind(AssertUnwindSafe(park)).unwrap_err();
            *theirs.lock().unwrap() = Some(payload);
        });
        yield_now();
        while !thief.is_finished() {
            thief.cancel();
            yield_now();
        }
        drop(thief);
        let payload = stolen.lock().unwrap().take();
        if let Some(payload) = payload {
            let other = spawn(move || timeout(HOUR, move || resume_unwind(payload)));
            assert!(other.join().unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn the_wait_for_a_scope_in_a_destructor_works() {
    run(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let theirs = count.clone();
        let task = spawn(move || {
            let _guard = OnDrop(|| {
                scope(|s| {
                    for _ in 0..3 {
                        s.spawn(|| {
                            yield_now();
                            theirs.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            });
            park();
        });
        for _ in 0..20 {
            yield_now();
        }
        task.cancel();
        let was_started = task.join().is_err();
        assert!(was_started);
        assert!([0, 3].contains(&count.load(Ordering::Relaxed)));
    });
}

#[test]
fn a_detached_value_is_dropped_where_drops_may_wait() {
    Runtime::builder()
        .workers(1)
        .run(|| {
            let done = Arc::new(AtomicBool::new(false));
            let theirs = done.clone();
            drop(spawn(move || {
                OnDrop(move || {
                    yield_now();
                    sleep(Duration::from_millis(1));
                    theirs.store(true, Ordering::Relaxed);
                })
            }));
            while !done.load(Ordering::Relaxed) {
                yield_now();
            }
        })
        .unwrap();
}

#[test]
fn an_own_error_during_cancellation_wins() {
    run(|| {
        let task = spawn(|| {
            let _: Result<(), _> = catch_unwind(AssertUnwindSafe(park));
            panic!("mine");
        });
        for _ in 0..20 {
            yield_now();
        }
        task.cancel();
        let error = task.join().unwrap_err();
        assert!(error.is_panic() || error.is_cancelled());
    });
}
