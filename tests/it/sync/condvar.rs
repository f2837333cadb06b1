//! `Condvar`: no notice is missed, lost or used twice, whoever is cancelled or late.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, Condvar, Event, Mutex};
use greenloom::{Runtime, sleep, spawn, yield_now};

use super::leave::{at_every_step, tick};
use super::{SECOND, settle};
use crate::util::{green, virtual_time};

type Pair<T> = Arc<(Mutex<T>, Condvar)>;

fn pair<T>(value: T) -> Pair<T> {
    Arc::new((Mutex::new(value), Condvar::new()))
}

#[test]
fn waiters_are_notified_in_the_order_in_which_they_came() {
    let order = green(|| {
        let pair = pair(Vec::new());
        let tasks: Vec<_> = (0..5)
            .map(|n| {
                let pair = pair.clone();
                let task = spawn(move || {
                    let guard = pair.0.lock().unwrap();
                    pair.1.wait(guard).unwrap().push(n);
                });
                yield_now();
                task
            })
            .collect();
        pair.1.notify_one();
        settle();
        assert_eq!(*pair.0.lock().unwrap(), [0]);
        pair.1.notify_one();
        pair.1.notify_one();
        settle();
        assert_eq!(*pair.0.lock().unwrap(), [0, 1, 2]);
        pair.1.notify_all();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        pair.0.lock().unwrap().clone()
    });
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn a_notice_to_nobody_is_forgotten() {
    virtual_time(|| {
        let (mutex, condvar) = &*pair(());
        condvar.notify_one();
        condvar.notify_all();
        let guard = mutex.lock().unwrap();
        let begun = greenloom::time::now();
        let (_guard, result) = condvar.wait_timeout(guard, SECOND).unwrap();
        assert!(result.timed_out());
        assert_eq!(greenloom::time::now() - begun, SECOND);
    });
}

#[test]
fn one_whose_time_is_over_notifies_nobody() {
    virtual_time(|| {
        let pair = pair(());
        let waiters: Vec<_> = (1..=5)
            .map(|n| {
                let pair = pair.clone();
                spawn(move || {
                    let guard = pair.0.lock().unwrap();
                    let waited = pair.1.wait_timeout(guard, n * SECOND).unwrap();
                    waited.1.timed_out()
                })
            })
            .collect();
        assert!(waiters.into_iter().all(|task| task.join().unwrap()));
        // Nor does one who was notified, and has the mutex.
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let pair = pair.clone();
                let task = spawn(move || {
                    let guard = pair.0.lock().unwrap();
                    drop(pair.1.wait(guard).unwrap());
                });
                yield_now();
                task
            })
            .collect();
        pair.1.notify_one();
        settle();
        assert!(waiters[0].is_finished() && !waiters[1].is_finished());
        waiters[1].cancel();
    });
}

#[test]
fn whoever_was_notified_first_and_is_cancelled_notifies_the_next() {
    green(|| {
        let pair = pair(());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let pair = pair.clone();
                let task = spawn(move || {
                    let guard = pair.0.lock().unwrap();
                    drop(pair.1.wait(guard).unwrap());
                });
                yield_now();
                task
            })
            .collect();
        let [first, second] = waiters.try_into().unwrap();
        pair.1.notify_one();
        first.cancel(); // it has been called, and comes back to be unwound
        assert!(first.join().unwrap_err().is_cancelled());
        second.join().unwrap();
        assert!(pair.0.try_lock().is_ok());
    });
}

#[test]
fn whoever_is_cancelled_on_its_way_back_to_the_mutex_notifies_the_next() {
    green(|| {
        let pair = pair(());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let pair = pair.clone();
                let task = spawn(move || {
                    let guard = pair.0.lock().unwrap();
                    drop(pair.1.wait(guard).unwrap());
                });
                yield_now();
                task
            })
            .collect();
        let [first, second] = waiters.try_into().unwrap();
        let guard = pair.0.lock().unwrap();
        pair.1.notify_one();
        settle(); // it waits for the mutex, notified
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled());
        drop(guard);
        second.join().unwrap();
        assert!(!pair.0.is_poisoned());
    });
}

#[test]
fn a_cancelled_one_of_all_notifies_nobody_else() {
    green(|| {
        let pair = pair(());
        let wait = |pair: &Pair<()>| {
            let pair = pair.clone();
            let task = spawn(move || {
                let guard = pair.0.lock().unwrap();
                drop(pair.1.wait(guard).unwrap());
            });
            yield_now();
            task
        };
        let first = wait(&pair);
        pair.1.notify_all();
        let guard = pair.0.lock().unwrap();
        yield_now();
        let late = spawn({
            let pair = pair.clone();
            move || {
                let guard = pair.0.lock().unwrap();
                drop(pair.1.wait(guard).unwrap());
            }
        });
        first.cancel();
        drop(guard);
        let _ = first.join();
        settle();
        assert!(!late.is_finished());
        pair.1.notify_one();
        late.join().unwrap();
    });
}

/// Items are handed over one notice each; the victim leaves at whatever step.
#[test]
fn no_item_waits_for_ever_beside_a_waiter_whoever_leaves() {
    at_every_step(30, |exit| {
        const ITEMS: usize = 6;
        let pair = pair(0usize);
        let done = Arc::new(AtomicUsize::new(0));
        let take = |pair: &Pair<usize>| {
            let (mutex, condvar) = &**pair;
            let mut items = condvar
                .wait_while(mutex.lock().unwrap(), |items| *items == 0)
                .unwrap();
            *items -= 1;
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (pair, done) = (pair.clone(), done.clone());
                spawn(move || {
                    for _ in 0..ITEMS {
                        take(&pair);
                        done.fetch_add(1, Ordering::Relaxed);
                        tick();
                    }
                })
            })
            .collect();
        let theirs = pair.clone();
        let victim = exit.victim(move || {
            for _ in 0..3 {
                take(&theirs);
                tick();
            }
        });
        let giver = {
            let pair = pair.clone();
            spawn(move || {
                for _ in 0..2 * ITEMS + 3 {
                    let mut items = pair.0.lock().unwrap();
                    *items += 1;
                    if items.is_multiple_of(2) {
                        tick(); // those who are notified find the mutex taken
                    }
                    pair.1.notify_one();
                    drop(items);
                    tick();
                }
            })
        };
        exit.strike(victim);
        giver.join().unwrap();
        // Had a notice been lost, an item would be left and somebody wait for it.
        others.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(done.load(Ordering::Relaxed), 2 * ITEMS);
        assert!(pair.0.try_lock().is_ok());
    });
}

#[test]
fn a_wait_for_a_condition_ends_with_it_or_with_its_time() {
    virtual_time(|| {
        let pair = pair(0);
        let theirs = pair.clone();
        drop(spawn(move || {
            for n in 1..=5 {
                sleep(SECOND);
                *theirs.0.lock().unwrap() = n;
                theirs.1.notify_all();
            }
        }));
        let (mutex, condvar) = &*pair;
        let begun = greenloom::time::now();
        let guard = mutex.lock().unwrap();
        let guard = condvar.wait_while(guard, |n| *n < 2).unwrap();
        assert_eq!((*guard, greenloom::time::now() - begun), (2, 2 * SECOND));
        let half = SECOND / 2;
        let waited = condvar.wait_timeout_while(guard, 3 * half, |n| *n < 4);
        let (guard, result) = waited.unwrap();
        assert!(result.timed_out());
        assert_eq!((*guard, greenloom::time::now() - begun), (3, 7 * half));
        let waited = condvar.wait_timeout_while(guard, Duration::MAX, |n| *n < 5);
        let (guard, result) = waited.unwrap();
        assert!(!result.timed_out());
        assert_eq!((*guard, greenloom::time::now() - begun), (5, 5 * SECOND));
        // True at once: nothing is waited for, whatever the time.
        let waited = condvar.wait_timeout_while(guard, Duration::ZERO, |_| false);
        assert!(!waited.unwrap().1.timed_out());
    });
}

#[test]
fn a_wait_unlocks_the_mutex_and_gives_it_back_locked() {
    green(|| {
        let pair = pair(0);
        let theirs = pair.clone();
        let waiter = spawn(move || {
            let guard = theirs.0.lock().unwrap();
            let guard = theirs.1.wait(guard).unwrap();
            assert!(theirs.0.try_lock().is_err());
            *guard
        });
        yield_now();
        let mut guard = pair.0.try_lock().unwrap();
        *guard = 9;
        pair.1.notify_one();
        settle();
        assert!(!waiter.is_finished());
        drop(guard);
        assert_eq!(waiter.join().unwrap(), 9);
    });
}

#[test]
fn poison_that_came_meanwhile_is_told() {
    green(|| {
        let pair = pair(0);
        let theirs = pair.clone();
        let waiter = spawn(move || {
            let guard = theirs.0.lock().unwrap();
            let poisoned = theirs.1.wait(guard).unwrap_err();
            *poisoned.into_inner()
        });
        yield_now();
        let theirs = pair.clone();
        let panicker = spawn(move || {
            let mut guard = theirs.0.lock().unwrap();
            *guard = 4;
            panic!("poison");
        });
        assert!(panicker.join().unwrap_err().is_panic());
        pair.1.notify_one();
        assert_eq!(waiter.join().unwrap(), 4);
        let guard = pair.0.lock().unwrap_err().into_inner();
        let late = pair.1.wait_timeout(guard, Duration::ZERO).unwrap_err();
        assert!(late.into_inner().1.timed_out());
    });
}

#[test]
fn a_panic_in_the_condition_poisons_as_it_runs_with_the_lock() {
    green(|| {
        let (mutex, condvar) = &*pair(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            drop(condvar.wait_while(mutex.lock().unwrap(), |_| panic!("condition")));
        }));
        assert!(result.is_err() && mutex.is_poisoned());
    });
}

#[test]
fn several_mutexes_are_no_trouble() {
    green(|| {
        let condvar = Arc::new(Condvar::new());
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let condvar = condvar.clone();
                spawn(move || {
                    let mutex = Mutex::new(n);
                    *condvar.wait(mutex.lock().unwrap()).unwrap()
                })
            })
            .collect();
        settle();
        condvar.notify_all();
        let values: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        assert_eq!(values, [0, 1, 2]);
    });
}

#[test]
fn a_destructor_that_runs_in_a_panic_may_wait_and_poisons_nothing() {
    struct Waits(Pair<bool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let guard = self.0.0.lock().unwrap();
            drop(self.0.1.wait_while(guard, |may_go| !*may_go).unwrap());
        }
    }
    green(|| {
        let pair = pair(false);
        let theirs = pair.clone();
        let task = spawn(move || {
            let _waits = Waits(theirs);
            panic!("and its destructor waits");
        });
        settle();
        *pair.0.lock().unwrap() = true;
        pair.1.notify_all();
        assert!(task.join().unwrap_err().is_panic());
        assert!(!pair.0.is_poisoned());
    });
}

#[test]
fn thousands_of_notices_pass_between_tasks_and_threads() {
    let pair = pair(0u64);
    let event = Arc::new(Event::new());
    const EACH: u64 = 500;
    fn consume(pair: &Pair<u64>) {
        for n in 0..EACH {
            let (mutex, condvar) = &**pair;
            let guard = mutex.lock().unwrap();
            let mut items = if n % 3 == 0 {
                let soon = Duration::from_micros(20);
                let (guard, _) = condvar
                    .wait_timeout_while(guard, soon, |items| *items == 0)
                    .unwrap();
                condvar.wait_while(guard, |items| *items == 0).unwrap()
            } else {
                condvar.wait_while(guard, |items| *items == 0).unwrap()
            };
            *items -= 1;
        }
    }
    fn produce(pair: &Pair<u64>) {
        for n in 0..EACH {
            *pair.0.lock().unwrap() += 1;
            pair.1.notify_one();
            if n % 11 == 0 {
                yield_now();
            }
        }
    }
    std::thread::scope(|scope| {
        let (p, c) = (pair.clone(), pair.clone());
        let begin = event.clone();
        scope.spawn(move || {
            begin.wait();
            produce(&p);
        });
        scope.spawn(move || consume(&c));
        let pair = pair.clone();
        let event = event.clone();
        Runtime::builder()
            .workers(2)
            .run(move || {
                let tasks: Vec<_> = (0..8)
                    .map(|n| {
                        let pair = pair.clone();
                        spawn(move || match n % 2 {
                            0 => produce(&pair),
                            _ => consume(&pair),
                        })
                    })
                    .collect();
                event.set();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
    });
    assert_eq!(*pair.0.lock().unwrap(), 0);
}

#[test]
fn a_deadlock_report_says_with_which_mutex() {
    let text = Runtime::builder()
        .workers(1)
        .closed_world()
        .panic_note(false)
        .run(|| {
            let (mutex, condvar) = &*pair(vec![1_u8]);
            let result = catch_unwind(AssertUnwindSafe(|| {
                drop(condvar.wait(mutex.lock().unwrap()));
            }));
            assert!(mutex.try_lock().is_ok());
            *result.unwrap_err().downcast::<String>().unwrap()
        })
        .unwrap();
    let expected = "sync.condvar on a Condvar that nobody notifies, with a Mutex<Vec<u8>>";
    assert!(text.contains(expected), "{text}");
}
