//! `RwLock`: phases in the order in which they came, poison, downgrade, cancellation at every step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, Mutex, RwLock, RwLockWriteGuard, TryLockError};
use greenloom::{JoinHandle, Runtime, sleep, spawn, timeout, yield_now};

use super::leave::{at_every_step, tick};
use super::{SECOND, settle};
use crate::util::{Random, green, virtual_time};

/// Spawns one that writes its letter when it is in, waits a round, and goes.
fn comer(lock: &Arc<RwLock<()>>, log: &Arc<Mutex<String>>, letter: char) -> JoinHandle<()> {
    let (lock, log) = (lock.clone(), log.clone());
    let task = spawn(move || {
        let note = |text: String| log.lock().unwrap().push_str(&text);
        if letter.is_uppercase() {
            let _guard = lock.write().unwrap();
            note(format!("{letter}("));
            yield_now();
            note(")".into());
        } else {
            let _guard = lock.read().unwrap();
            note(format!("{letter}("));
            yield_now();
            note(")".into());
        }
    });
    yield_now();
    task
}

#[test]
fn readers_that_come_together_read_together_and_writers_alone() {
    let log = green(|| {
        let lock = Arc::new(RwLock::new(()));
        let log = Arc::new(Mutex::new(String::new()));
        let guard = lock.write().unwrap();
        let tasks: Vec<_> = "abCdeFGh"
            .chars()
            .map(|letter| comer(&lock, &log, letter))
            .collect();
        drop(guard);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        log.lock().unwrap().clone()
    });
    assert_eq!(log, "a(b())C()d(e())F()G()h()");
}

#[test]
fn a_reader_that_comes_behind_a_writer_does_not_starve_it() {
    green(|| {
        let lock = Arc::new(RwLock::new(()));
        let log = Arc::new(Mutex::new(String::new()));
        let guard = lock.read().unwrap();
        let writer = comer(&lock, &log, 'W');
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        let reader = comer(&lock, &log, 'r');
        drop(guard);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(*log.lock().unwrap(), "W()r()");
    });
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    virtual_time(|| {
        let lock = Arc::new(RwLock::new(()));
        let _reads = lock.read().unwrap();
        let theirs = lock.clone();
        let writer = spawn(move || theirs.write_timeout(SECOND).map(drop).is_ok());
        yield_now();
        let begun = greenloom::time::now();
        drop(lock.read().unwrap());
        assert_eq!(greenloom::time::now() - begun, SECOND);
        assert!(!writer.join().unwrap());

        let theirs = lock.clone();
        let writer = spawn(move || drop(theirs.write()));
        yield_now();
        let theirs = lock.clone();
        let reader = spawn(move || drop(theirs.read()));
        yield_now();
        writer.cancel();
        reader.join().unwrap();
    });
}

#[test]
fn a_writer_that_goes_on_as_a_reader_lets_no_writer_in_between() {
    green(|| {
        let lock = Arc::new(RwLock::new(0));
        let mut guard = lock.write().unwrap();
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let lock = lock.clone();
                let task = spawn(move || *lock.read().unwrap());
                yield_now();
                task
            })
            .collect();
        let theirs = lock.clone();
        let writer = spawn(move || *theirs.write().unwrap() = 2);
        yield_now();
        *guard = 1;
        let guard = RwLockWriteGuard::downgrade(guard);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 1);
        }
        settle();
        assert!(!writer.is_finished());
        assert_eq!(*guard, 1);
        drop(guard);
        writer.join().unwrap();
        assert_eq!(*lock.read().unwrap(), 2);
    });
}

#[test]
fn only_a_writers_panic_poisons() {
    green(|| {
        let lock = Arc::new(RwLock::new(0));
        let theirs = lock.clone();
        let reader = spawn(move || {
            let _guard = theirs.read().unwrap();
            panic!("a reader");
        });
        assert!(reader.join().unwrap_err().is_panic());
        assert!(!lock.is_poisoned());

        let theirs = lock.clone();
        let writer = spawn(move || {
            let _guard = theirs.write().unwrap();
            sleep(Duration::MAX);
        });
        yield_now();
        writer.cancel();
        assert!(writer.join().unwrap_err().is_cancelled());
        let _ = timeout(Duration::from_millis(1), || {
            let _guard = lock.write().unwrap();
            sleep(Duration::MAX);
        });
        assert!(!lock.is_poisoned());

        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = lock.write().unwrap();
            *guard = 1;
            let guard = RwLockWriteGuard::downgrade(guard);
            panic!("{} by one who reads by now", *guard);
        }));
        assert!(result.is_err() && !lock.is_poisoned());

        let theirs = lock.clone();
        let writer = spawn(move || {
            let _guard = theirs.write().unwrap();
            panic!("a writer");
        });
        assert!(writer.join().unwrap_err().is_panic());
        assert!(lock.is_poisoned());
        assert!(lock.read().is_err() && lock.write().is_err());
        assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
        assert!(!lock.read_timeout(SECOND).unwrap_err().is_timed_out());
        assert_eq!(*lock.write().unwrap_err().into_inner(), 1);
        lock.clear_poison();
        assert!(lock.read().is_ok());
        assert!(Arc::into_inner(lock).unwrap().into_inner().is_ok());
    });
}

#[test]
fn whoever_leaves_at_whatever_step_keeps_nobody_out() {
    for victim_writes in [false, true] {
        at_every_step(20, move |exit| {
            let lock = Arc::new(RwLock::new(0));
            let inside = Arc::new(AtomicUsize::new(0));
            let others: Vec<_> = (0..4)
                .map(|n| {
                    let (lock, inside) = (lock.clone(), inside.clone());
                    spawn(move || {
                        for _ in 0..2 {
                            if n % 2 == 0 {
                                let mut guard = lock.write().unwrap();
                                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                                *guard += 1;
                                tick();
                                inside.fetch_sub(1, Ordering::Relaxed);
                            } else {
                                let _guard = lock.read().unwrap();
                                assert_eq!(inside.load(Ordering::Relaxed), 0);
                                tick();
                            }
                        }
                    })
                })
                .collect();
            let theirs = lock.clone();
            let victim = exit.victim(move || {
                for _ in 0..3 {
                    if victim_writes {
                        let _guard = theirs.write().unwrap();
                        tick();
                    } else {
                        let _guard = theirs.read().unwrap();
                        tick();
                    }
                }
            });
            exit.strike(victim);
            others.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(*lock.try_write().expect("free and clean"), 4);
        });
    }
}

#[test]
fn readers_and_writers_of_all_kinds_see_whole_values() {
    let lock = Arc::new(RwLock::new((0u64, 0u64)));
    let work = |lock: Arc<RwLock<(u64, u64)>>, seed: u64| {
        let mut random = Random::new(seed);
        for _ in 0..1_000 {
            match random.below(8) {
                0 => {
                    let mut pair = lock.write().unwrap();
                    pair.0 += 1;
                    if random.below(2) == 0 {
                        yield_now();
                    }
                    pair.1 += 1;
                    let pair = RwLockWriteGuard::downgrade(pair);
                    assert_eq!(pair.0, pair.1);
                }
                1 => {
                    if let Ok(pair) = lock.read_timeout(Duration::from_micros(10)) {
                        assert_eq!(pair.0, pair.1);
                    }
                }
                2 => {
                    if let Ok(mut pair) = lock.try_write() {
                        pair.0 += 1;
                        pair.1 += 1;
                    }
                }
                _ => {
                    let pair = lock.read().unwrap();
                    assert_eq!(pair.0, pair.1);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let lock = lock.clone();
            scope.spawn(move || work(lock, seed));
        }
        let lock = lock.clone();
        Runtime::builder()
            .workers(2)
            .run(move || {
                let tasks: Vec<_> = (10..18)
                    .map(|seed| {
                        let lock = lock.clone();
                        spawn(move || work(lock, seed))
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
    });
    let pair = lock.try_read().expect("free at the end");
    assert_eq!(pair.0, pair.1);
}

#[test]
fn a_read_guard_lives_no_longer_than_it_must() {
    // The guard's type may shrink to the shorter lifetime, as std's does.
    fn shorter<'a>(
        guard: greenloom::sync::RwLockReadGuard<'a, &'static str>,
    ) -> greenloom::sync::RwLockReadGuard<'a, &'a str> {
        guard
    }
    let lock = RwLock::new("text");
    assert_eq!(*shorter(lock.read().unwrap()), "text");
    let slice: &RwLock<[u8]> = &RwLock::new([1, 2, 3]);
    slice.write().unwrap()[0] = 9;
    assert_eq!(
        format!("{slice:?}"),
        "RwLock { data: [9, 2, 3], poisoned: false, .. }"
    );
}

#[test]
fn a_deadlock_report_tells_writers_from_readers() {
    let report = Runtime::builder()
        .workers(1)
        .closed_world()
        .panic_note(false)
        .run(|| {
            let lock = RwLock::new(7_i32);
            let text = |waits: &dyn Fn()| {
                let result = catch_unwind(AssertUnwindSafe(waits));
                *result.unwrap_err().downcast::<String>().unwrap()
            };
            let guard = lock.write().unwrap();
            let written = text(&|| drop(lock.read()));
            let guard = RwLockWriteGuard::downgrade(guard);
            let read = text(&|| drop(lock.write()));
            drop(guard);
            (written, read)
        });
    let (written, read) = report.unwrap();
    assert!(
        written.contains("sync.rwlock_read on an RwLock<i32> held for writing by task"),
        "{written}"
    );
    assert!(
        read.contains(
            "sync.rwlock_write on an RwLock<i32> with 1 reader, the last that came being task"
        ),
        "{read}"
    );
}
