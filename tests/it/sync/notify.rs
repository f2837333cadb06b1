//! `Notify`: one permit is kept, and no notice is lost.

use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, Mutex, Notify};
use greenloom::{JoinHandle, Runtime, spawn, yield_now};

use super::leave::{at_every_step, tick};
use super::{SECOND, settle};
use crate::util::{green, virtual_time};

fn waiter(notify: &Arc<Notify>) -> JoinHandle<()> {
    let notify = notify.clone();
    let task = spawn(move || notify.wait());
    yield_now();
    task
}

#[test]
fn one_permit_is_kept_and_no_more() {
    virtual_time(|| {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        notify.wait();
        assert!(!notify.try_wait());
        let begun = greenloom::time::now();
        assert!(!notify.wait_timeout(SECOND));
        assert_eq!(greenloom::time::now() - begun, SECOND);
    });
}

#[test]
fn a_notice_to_all_reaches_those_who_wait_and_leaves_no_permit() {
    green(|| {
        let notify = Arc::new(Notify::new());
        let waiters: Vec<_> = (0..3).map(|_| waiter(&notify)).collect();
        notify.notify_waiters();
        waiters.into_iter().for_each(|task| task.join().unwrap());
        notify.notify_waiters();
        assert!(!notify.try_wait());
        // Nor does it take one away.
        notify.notify_one();
        notify.notify_waiters();
        assert!(notify.try_wait());
    });
}

#[test]
fn notices_go_to_those_who_have_waited_longest() {
    green(|| {
        let notify = Arc::new(Notify::new());
        let waiters: Vec<_> = (0..3).map(|_| waiter(&notify)).collect();
        for done in 1..=3 {
            notify.notify_one();
            settle();
            let finished: Vec<_> = waiters.iter().map(JoinHandle::is_finished).collect();
            assert_eq!(finished, [true, done > 1, done > 2]);
        }
    });
}

#[test]
fn a_notice_to_one_who_was_cancelled_goes_to_the_next_or_is_kept() {
    green(|| {
        let notify = Arc::new(Notify::new());
        let [first, second] = [waiter(&notify), waiter(&notify)];
        notify.notify_one();
        first.cancel(); // called already
        assert!(first.join().unwrap_err().is_cancelled());
        second.join().unwrap();

        let only = waiter(&notify);
        notify.notify_one();
        only.cancel();
        assert!(only.join().unwrap_err().is_cancelled());
        assert!(notify.try_wait(), "kept");

        let only = waiter(&notify);
        notify.notify_waiters();
        only.cancel();
        assert!(only.join().unwrap_err().is_cancelled());
        assert!(!notify.try_wait(), "it was for those who waited then");
    });
}

#[test]
fn a_consumer_misses_nothing_whoever_leaves_at_whatever_step() {
    at_every_step(25, |exit| {
        let shared = Arc::new((Mutex::new(0u32), Notify::new()));
        fn consume(shared: &(Mutex<u32>, Notify)) {
            loop {
                let mut items = shared.0.lock().unwrap();
                if *items > 0 {
                    *items -= 1;
                    if *items > 0 {
                        shared.1.notify_one(); // one permit may stand for several items
                    }
                    return;
                }
                drop(items);
                shared.1.wait();
            }
        }
        let theirs = shared.clone();
        let consumer = spawn(move || (0..5).for_each(|_| consume(&theirs)));
        let theirs = shared.clone();
        let victim = exit.victim(move || {
            loop {
                theirs.1.wait();
                // Not used: passed on.
                theirs.1.notify_one();
                tick();
            }
        });
        let theirs = shared.clone();
        let producer = spawn(move || {
            for _ in 0..5 {
                *theirs.0.lock().unwrap() += 1;
                theirs.1.notify_one();
                tick();
            }
        });
        exit.strike::<()>(victim);
        producer.join().unwrap();
        consumer.join().unwrap();
    });
}

#[test]
fn tasks_and_threads_pass_notices() {
    let shared = Arc::new((AtomicUsize::new(0), Notify::new(), Notify::new()));
    const ROUNDS: usize = 500;
    std::thread::scope(|scope| {
        let theirs = shared.clone();
        scope.spawn(move || {
            for round in 1..=ROUNDS {
                theirs.1.wait();
                assert_eq!(theirs.0.fetch_add(1, Ordering::Relaxed), 2 * round - 1);
                theirs.2.notify_one();
            }
        });
        let shared = shared.clone();
        Runtime::builder()
            .workers(2)
            .run(move || {
                for round in 0..ROUNDS {
                    assert_eq!(shared.0.fetch_add(1, Ordering::Relaxed), 2 * round);
                    shared.1.notify_one();
                    assert!(shared.2.wait_timeout(Duration::from_secs(60)));
                }
            })
            .unwrap();
    });
}
