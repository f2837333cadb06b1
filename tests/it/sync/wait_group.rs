//! `WaitGroup`: counts by hand and by tokens, again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, WaitGroup};
use greenloom::{Runtime, scope, sleep, spawn, yield_now};

use super::leave::{at_every_step, tick};
use super::{SECOND, settle};
use crate::util::{green, virtual_time};

#[test]
fn a_wait_ends_when_all_is_done_and_not_before() {
    green(|| {
        let group = Arc::new(WaitGroup::new());
        group.wait();
        group.add(3);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let group = group.clone();
                spawn(move || group.wait())
            })
            .collect();
        for left in (0..3).rev() {
            settle();
            assert!(!waiters.iter().any(|task| task.is_finished()));
            group.done();
            assert_eq!(group.count(), left);
        }
        // Whoever was called goes on, though there is something to do again.
        group.add(1);
        waiters.into_iter().for_each(|task| task.join().unwrap());
        assert!(!group.wait_timeout(Duration::ZERO));
        group.done();
        assert!(group.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn what_was_not_added_cannot_be_done() {
    let group = WaitGroup::new();
    group.add(1);
    group.done();
    assert!(catch_unwind(AssertUnwindSafe(|| group.done())).is_err());
    assert_eq!(group.count(), 0);
    group.add(usize::MAX);
    assert!(catch_unwind(AssertUnwindSafe(|| group.add(1))).is_err());
    assert_eq!(group.count(), usize::MAX);
}

#[test]
fn a_worker_that_panics_or_is_cancelled_is_done_as_well() {
    green(|| {
        let group = Arc::new(WaitGroup::new());
        let tokens = [(); 2].map(|()| group.worker_owned());
        let [panics, waits] = tokens;
        let panicker = spawn(move || {
            let _token = panics;
            panic!("in the work");
        });
        let waiter = spawn(move || {
            let _token = waits;
            sleep(Duration::MAX);
        });
        yield_now();
        waiter.cancel();
        group.wait();
        assert!(panicker.join().unwrap_err().is_panic());

        scope(|s| {
            for _ in 0..5 {
                let token = group.worker();
                s.spawn(move || {
                    yield_now();
                    drop(token);
                });
            }
            assert_eq!(group.count(), 5);
            group.wait();
        });
        assert_eq!(group.count(), 0);
    });
}

#[test]
fn it_is_waited_for_no_longer_than_asked() {
    virtual_time(|| {
        let group = Arc::new(WaitGroup::new());
        let token = group.worker_owned();
        drop(spawn(move || {
            sleep(3 * SECOND);
            drop(token);
        }));
        let begun = greenloom::time::now();
        assert!(!group.wait_timeout(SECOND));
        assert_eq!(greenloom::time::now() - begun, SECOND);
        assert!(group.wait_timeout(Duration::MAX));
        assert_eq!(greenloom::time::now() - begun, 3 * SECOND);
    });
}

#[test]
fn a_waiter_that_leaves_at_whatever_step_takes_nothing_along() {
    at_every_step(15, |exit| {
        let group = Arc::new(WaitGroup::new());
        let tokens: Vec<_> = (0..4).map(|_| group.worker_owned()).collect();
        let theirs = group.clone();
        let victim = exit.victim(move || theirs.wait());
        let theirs = group.clone();
        let waiter = spawn(move || theirs.wait());
        let worker = spawn(move || {
            for token in tokens {
                tick();
                drop(token);
            }
        });
        exit.strike(victim);
        waiter.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn tasks_and_threads_are_waited_for_from_both() {
    let group = Arc::new(WaitGroup::new());
    let count = Arc::new(AtomicUsize::new(0));
    for round in 1..=20 {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (token, count) = (group.worker_owned(), count.clone());
                scope.spawn(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    drop(token);
                });
            }
            let (group, count) = (group.clone(), count.clone());
            Runtime::builder()
                .workers(2)
                .run(move || {
                    for _ in 0..8 {
                        let (token, count) = (group.worker_owned(), count.clone());
                        drop(spawn(move || {
                            count.fetch_add(1, Ordering::Relaxed);
                            drop(token);
                        }));
                    }
                    group.wait();
                })
                .unwrap();
        });
        group.wait();
        assert_eq!(count.load(Ordering::Relaxed), 10 * round);
    }
}
