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
