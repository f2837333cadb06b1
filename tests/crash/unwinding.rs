//! Coroutines where `thread::panicking()` speaks of somebody else, or stays true for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greenloom::coroutine::{Generator, Greenlet, scoped, suspend};
use greenloom::{Runtime, park, sleep, spawn, timeout, yield_now};

use crate::child;
use crate::tasks::OnDrop;

/// Runs `f` beside a task that waits in a destructor while a panic unwinds it: `thread::panicking()` is true for
/// both.
fn beside_an_unwinding_neighbour(f: impl FnOnce()) {
    Runtime::builder()
        .workers(1)
        .run(|| {
            let neighbour = spawn(|| {
                let _slow = OnDrop(|| sleep(Duration::from_millis(50)));
                panic!("the neighbour, on purpose");
            });
            yield_now();
            assert!(std::thread::panicking());
            f();
            assert!(neighbour.join().is_err());
        })
        .unwrap();
}

#[test]
fn a_borrowing_generator_is_closed_beside_a_neighbour_that_unwinds() {
    let outcome = child::run(|| {
        beside_an_unwinding_neighbour(|| {
            let mut ended = false;
            let first = scoped(
                |y| {
                    let _ends = OnDrop(|| ended = true);
                    (0..9).for_each(|n| y.suspend(n));
                },
                |g: &Generator<i32>| g.next(),
            );
            assert_eq!((first, ended), (Some(0), true));
        });
    });
    outcome.assert_success();
}

#[test]
fn a_generator_suspended_beside_a_neighbour_that_unwinds_is_not_leaked() {
    let outcome = child::run(|| {
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = ended.clone();
        let (mut kept, slot) = (None, &ended);
        beside_an_unwinding_neighbour(|| {
            let generator = Generator::<i32>::new(move |y| {
                let _ends = OnDrop(|| theirs.store(true, Ordering::Relaxed));
                y.suspend(1);
            });
            generator.next();
            kept = Some(generator);
        });
        assert!(!slot.load(Ordering::Relaxed));
        drop(kept);
        assert!(slot.load(Ordering::Relaxed));
    });
    outcome.assert_success();
}

#[test]
fn a_time_out_passes_between_greenlets_beside_a_neighbour_that_unwinds() {
    let outcome = child::run(|| {
        beside_an_unwinding_neighbour(|| {
            let cut = timeout(Duration::from_millis(10), || {
                let sleeper = Greenlet::new(|(): ()| sleep(Duration::MAX));
                sleeper.switch(()).is_ok()
            });
            assert!(
                cut.is_err(),
                "it came out of the switch as an error: {cut:?}"
            );
        });
    });
    outcome.assert_success();
}

/// Of a generator that was left in the midst of its unwinding, `thread::panicking()` stays true for good.
#[test]
fn a_generator_leaked_in_its_unwinding_keeps_no_task_from_being_cancelled() {
    let outcome = child::run(|| {
        Runtime::builder()
            .workers(1)
            .run(|| {
                let leaks = spawn(|| {
                    let generator = Generator::<i32>::new(|_| {
                        let _suspends = OnDrop(|| suspend::<(), i32>(1));
                        panic!("on purpose");
                    });
                    assert_eq!(generator.next(), Some(1));
                    assert!(timeout(Duration::from_millis(1), park).is_err());
                });
                leaks.join().unwrap();
                assert!(std::thread::panicking());
                let cancelled = spawn(park);
                yield_now();
                cancelled.cancel();
                assert!(cancelled.join().unwrap_err().is_cancelled());
                drop(spawn(park)); // cancelled by the end of run
            })
            .unwrap();
    });
    outcome.assert_success();
}

/// Neither the panic hook nor any call of ours tells of it, and `thread::panicking()` speaks of the neighbour.
#[test]
fn a_cancellation_does_not_meet_an_unwinding_that_nobody_told_of() {
    let outcome = child::run(|| {
        beside_an_unwinding_neighbour(|| {
            let task = spawn(|| {
                let _waits = OnDrop(|| {
                    sleep(Duration::from_millis(10));
                    yield_now();
                    greenloom::checkpoint();
                });
                std::panic::resume_unwind(Box::new(7));
            });
            yield_now();
            assert!(!task.is_finished());
            task.cancel();
            let payload = task.join().unwrap_err().into_panic().unwrap();
            assert_eq!(payload.downcast_ref(), Some(&7));
        });
    });
    outcome.assert_success();
}

#[test]
fn a_hook_that_is_not_ours_makes_no_cancellation_abort() {
    let outcome = child::run(|| {
        Runtime::builder().workers(1).build().unwrap();
        std::panic::set_hook(Box::new(|_| ()));
        beside_an_unwinding_neighbour(|| {
            let task = spawn(|| {
                let _waits = OnDrop(|| sleep(Duration::from_millis(10)));
                panic!("unheard");
            });
            yield_now();
            task.cancel();
            assert!(task.join().unwrap_err().is_panic());
        });
    });
    outcome.assert_success();
}

/// One that waits in a destructor unnoticed is counted all the same: its neighbours are not taken for unwinding.
#[test]
fn an_unwinding_that_nobody_told_of_keeps_no_neighbour_from_being_cancelled() {
    let outcome = child::run(|| {
        let begun = std::time::Instant::now();
        beside_an_unwinding_neighbour(|| {
            let unnoticed = spawn(|| {
                let _waits = OnDrop(|| sleep(Duration::from_secs(20)));
                std::panic::resume_unwind(Box::new(()));
            });
            sleep(Duration::from_millis(100)); // the other one is done
            assert!(std::thread::panicking());
            let victim = spawn(park);
            yield_now();
            victim.cancel();
            assert!(victim.join().unwrap_err().is_cancelled());
            assert!(timeout(Duration::from_millis(1), park).is_err());
            assert!(!unnoticed.is_finished());
            // SAFETY: ends the process; `run` would wait for the destructor.
            unsafe { libc::_exit(i32::from(begun.elapsed() > Duration::from_secs(15))) };
        });
    });
    outcome.assert_success();
}

/// In a destructor a time-out ends what it stands round, and no more than that.
#[test]
fn a_time_out_in_a_destructor_comes_but_not_into_a_destructor_inside_of_it() {
    let outcome = child::run(|| {
        beside_an_unwinding_neighbour(|| {
            let task = spawn(|| {
                let _waits = OnDrop(|| {
                    assert!(timeout(Duration::from_millis(1), park).is_err());
                    let cut = timeout(Duration::from_millis(1), || {
                        let caught = std::panic::catch_unwind(|| {
                            let _waits = OnDrop(|| sleep(Duration::from_millis(5)));
                            std::panic::resume_unwind(Box::new(()));
                        });
                        assert!(caught.is_err());
                        park();
                    });
                    assert!(cut.is_err());
                });
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(task.join().unwrap_err().is_panic());
        });
    });
    outcome.assert_success();
}

/// A panic that is over is no reason to keep a cancellation back, though the neighbour's is not.
#[test]
fn a_panic_that_was_caught_keeps_no_cancellation_back() {
    let outcome = child::run(|| {
        Runtime::builder()
            .workers(1)
            .run(|| {
                let waits_for = std::rc::Rc::new(greenloom::sync::Event::new());
                let theirs = waits_for.clone();
                let neighbour = greenloom::spawn_local(move || {
                    let _slow = OnDrop(|| theirs.wait());
                    panic!("the neighbour, on purpose");
                });
                yield_now();
                let task = spawn(|| {
                    assert!(std::panic::catch_unwind(|| panic!("caught")).is_err());
                    park();
                });
                yield_now();
                task.cancel();
                // The neighbour waits for this, as it were.
                assert!(task.join().unwrap_err().is_cancelled());
                waits_for.set();
                assert!(neighbour.join().is_err());
            })
            .unwrap();
    });
    outcome.assert_success();
}
