//! `Once`, `OnceLock`, `LazyLock`: initialisers that wait, panic, are cancelled, or come back to themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, Event, LazyLock, Once, OnceLock};
use greenloom::{Runtime, sleep, spawn, timeout, yield_now};

use super::leave::{at_every_step, tick};
use super::{SECOND, settle};
use crate::util::{green, virtual_time};

fn text_of(result: std::thread::Result<()>) -> String {
    let payload = result.expect_err("a panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().unwrap().to_string(),
    }
}

#[test]
fn an_initialiser_that_waits_runs_once_and_the_others_wait_for_it() {
    virtual_time(|| {
        let once = Arc::new(Once::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let (once, runs) = (once.clone(), runs.clone());
                spawn(move || {
                    once.call_once(|| {
                        sleep(SECOND);
                        runs.fetch_add(1, Ordering::Relaxed);
                    });
                    assert_eq!(runs.load(Ordering::Relaxed), 1);
                })
            })
            .collect();
        assert!(!once.wait_timeout(SECOND / 2));
        assert!(!once.is_completed());
        once.wait();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert!(once.is_completed());
    });
}

#[test]
fn a_panic_poisons_until_somebody_forces_it() {
    green(|| {
        let once = Arc::new(Once::new());
        let theirs = once.clone();
        let first = spawn(move || {
            theirs.call_once(|| {
                yield_now();
                panic!("at first");
            });
        });
        yield_now();
        let theirs = once.clone();
        let waiter = spawn(move || theirs.call_once(|| unreachable!()));
        let theirs = once.clone();
        let patient = spawn(move || theirs.wait_force());
        assert!(first.join().unwrap_err().is_panic());
        assert!(waiter.join().unwrap_err().is_panic());
        let again = catch_unwind(AssertUnwindSafe(|| once.call_once(|| ())));
        assert_eq!(text_of(again), "an initialiser before has panicked");
        assert!(catch_unwind(AssertUnwindSafe(|| once.wait())).is_err());
        settle();
        assert!(!patient.is_finished());

        let again = catch_unwind(AssertUnwindSafe(|| {
            once.call_once_force(|state| {
                assert!(state.is_poisoned());
                panic!("again");
            })
        }));
        assert_eq!(text_of(again), "again");
        once.call_once_force(|state| assert!(state.is_poisoned()));
        once.call_once_force(|_| unreachable!());
        once.call_once(|| unreachable!());
        patient.join().unwrap();
    });
}

#[test]
fn a_cancelled_initialiser_counts_as_one_that_never_began() {
    virtual_time(|| {
        let once = Arc::new(Once::new());
        let theirs = once.clone();
        let first = spawn(move || theirs.call_once(|| sleep(Duration::MAX)));
        yield_now();
        let theirs = once.clone();
        let second = spawn(move || {
            let mut is_mine = false;
            theirs.call_once(|| is_mine = true);
            is_mine
        });
        yield_now();
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled());
        assert!(second.join().unwrap(), "who has waited runs its own");

        let once = Once::new();
        assert!(timeout(SECOND, || once.call_once(|| sleep(Duration::MAX))).is_err());
        once.call_once_force(|state| assert!(!state.is_poisoned()));

        // It stays poisoned if it was before.
        let once = Once::new();
        let _ = catch_unwind(AssertUnwindSafe(|| once.call_once(|| panic!("first"))));
        assert!(timeout(SECOND, || once.call_once_force(|_| sleep(Duration::MAX))).is_err());
        once.call_once_force(|state| assert!(state.is_poisoned()));
    });
}

#[test]
fn whoever_leaves_at_whatever_step_one_initialiser_completes() {
    at_every_step(15, |exit| {
        let once = Arc::new(Once::new());
        let completed = Arc::new(AtomicUsize::new(0));
        let init = |once: &Once, completed: &AtomicUsize| {
            once.call_once(|| {
                (0..5).for_each(|_| tick());
                completed.fetch_add(1, Ordering::Relaxed);
            });
        };
        let (o, c) = (once.clone(), completed.clone());
        let victim = exit.victim(move || init(&o, &c));
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (o, c) = (once.clone(), completed.clone());
                spawn(move || init(&o, &c))
            })
            .collect();
        exit.strike(victim);
        others.into_iter().for_each(|task| task.join().unwrap());
        assert!(once.is_completed());
        assert_eq!(completed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn an_initialiser_that_comes_back_to_itself_is_told_so() {
    let told = "an initialiser has come back to what it initialises, and would wait for itself";
    let check = || {
        let once = Once::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            once.call_once(|| once.call_once(|| ()));
        }));
        assert_eq!(text_of(result), told);
        let lock = OnceLock::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            lock.get_or_init(|| *lock.get_or_init(|| 1));
        }));
        assert_eq!(text_of(result), told);
        // A OnceLock has no poison.
        assert_eq!(*lock.get_or_init(|| 2), 2);
        static LAZY: LazyLock<u32> = LazyLock::new(|| *LAZY + 1);
        let result = catch_unwind(|| {
            LazyLock::force(&LAZY);
        });
        let text = text_of(result);
        assert!(text == told || text == "an initialiser before has panicked");
    };
    green(check);
    check();
}

#[test]
fn a_once_lock_is_set_once_and_gives_back_what_came_late() {
    green(|| {
        let mut lock = OnceLock::new();
        assert_eq!(lock.get(), None);
        assert_eq!(lock.wait_timeout(Duration::from_millis(1)), None);
        assert_eq!(lock.set(1), Ok(()));
        assert_eq!(lock.set(2), Err(2));
        assert_eq!(lock.get_or_init(|| unreachable!()), &1);
        assert_eq!(lock.wait(), &1);
        *lock.get_mut().unwrap() += 1;
        assert_eq!(lock.take(), Some(2));
        assert_eq!(lock.get(), None);
        assert_eq!(lock.take(), None);
        assert_eq!(lock.get_or_try_init(|| Err("no")), Err("no"));
        assert_eq!(lock.get_or_try_init(|| Ok::<_, ()>(3)), Ok(&3));
        assert_eq!(lock.clone(), lock);
        assert_eq!(format!("{lock:?}"), "OnceLock(3)");
        assert_eq!(format!("{:?}", OnceLock::<u8>::new()), "OnceLock(<uninit>)");
        assert_eq!(OnceLock::from(4).into_inner(), Some(4));
    });
}

#[test]
fn a_set_waits_for_an_initialiser_that_runs_and_takes_its_place_if_it_fails() {
    virtual_time(|| {
        for fails in [false, true] {
            let lock = Arc::new(OnceLock::new());
            let theirs = lock.clone();
            let init = spawn(move || {
                let _ = theirs.get_or_try_init(|| {
                    sleep(SECOND);
                    if fails { Err(()) } else { Ok(1) }
                });
            });
            yield_now();
            let theirs = lock.clone();
            let waiter = spawn(move || *theirs.wait());
            assert_eq!(lock.set(2).is_ok(), fails);
            init.join().unwrap();
            assert_eq!(waiter.join().unwrap(), 1 + i32::from(fails));
        }
    });
}

#[test]
fn a_lazy_value_is_made_when_it_is_wanted_though_who_wants_it_is_cancelled() {
    virtual_time(|| {
        let runs = Arc::new(AtomicUsize::new(0));
        let theirs = runs.clone();
        let lazy = Arc::new(LazyLock::new(move || {
            sleep(SECOND);
            theirs.fetch_add(1, Ordering::Relaxed) + 7
        }));
        assert_eq!(runs.load(Ordering::Relaxed), 0);
        assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
        let theirs = lazy.clone();
        let first = spawn(move || **theirs);
        yield_now();
        let theirs = lazy.clone();
        let second = spawn(move || **theirs);
        yield_now();
        first.cancel();
        second.cancel();
        assert!(second.join().unwrap_err().is_cancelled(), "it only waits");
        let theirs = lazy.clone();
        let third = spawn(move || **theirs);
        assert_eq!(third.join().unwrap(), 7);
        let _ = first.join();
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(LazyLock::get(&lazy), Some(&7));
        let mut lazy = Arc::into_inner(lazy).unwrap();
        *lazy += 1;
        assert_eq!(*LazyLock::force(&lazy), 8);
    });
}

#[test]
fn a_lazy_value_whose_initialiser_panics_is_poisoned() {
    green(|| {
        let lazy: LazyLock<u8> = LazyLock::new(|| panic!("no value"));
        let force = || {
            text_of(catch_unwind(AssertUnwindSafe(|| {
                LazyLock::force(&lazy);
            })))
        };
        assert_eq!(force(), "no value");
        assert_eq!(force(), "an initialiser before has panicked");
        assert_eq!(format!("{lazy:?}"), "LazyLock(<poisoned>)");
    });
}

#[test]
fn tasks_and_threads_wait_for_the_same_initialiser() {
    for _ in 0..20 {
        let lock = Arc::new(OnceLock::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let work = |lock: &OnceLock<usize>, runs: &AtomicUsize| {
            let value = lock.get_or_init(|| {
                sleep(Duration::from_micros(200));
                runs.fetch_add(1, Ordering::Relaxed)
            });
            assert_eq!(*value, 0);
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| work(&lock, &runs));
            }
            let (lock, runs) = (lock.clone(), runs.clone());
            Runtime::builder()
                .workers(2)
                .run(move || {
                    let tasks: Vec<_> = (0..8)
                        .map(|_| {
                            let (lock, runs) = (lock.clone(), runs.clone());
                            spawn(move || work(&lock, &runs))
                        })
                        .collect();
                    tasks.into_iter().for_each(|task| task.join().unwrap());
                })
                .unwrap();
        });
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn a_deadlock_report_names_who_initialises() {
    let text = Runtime::builder()
        .workers(1)
        .closed_world()
        .panic_note(false)
        .run(|| {
            let lock = Arc::new(OnceLock::new());
            let never = Arc::new(Event::new());
            let theirs = lock.clone();
            let initialiser = greenloom::Builder::new().name("maker");
            let _maker = initialiser
                .spawn(move || {
                    theirs.get_or_init(|| never.wait());
                })
                .unwrap();
            yield_now();
            let result = catch_unwind(AssertUnwindSafe(|| {
                lock.get_or_init(|| ());
            }));
            text_of(result)
        })
        .unwrap();
    let line = text.lines().find(|line| line.contains("(main)")).unwrap();
    assert!(
        line.contains("sync.once on a Once that is initialised by task "),
        "{text}"
    );
    assert!(line.contains(" \"maker\" since "), "{text}");
}
