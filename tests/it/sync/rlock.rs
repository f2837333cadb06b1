//! `RLock`: who owns it, how often, and how it is passed on.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::coroutine::Generator;
use greenloom::sync::{Arc, RLock};
use greenloom::{Runtime, spawn, yield_now};

use super::leave::{at_every_step, tick};
use super::{SECOND, settle};
use crate::util::{green, virtual_time};

#[test]
fn the_owner_gets_in_again_and_others_when_it_has_left_as_often() {
    green(|| {
        let lock = Arc::new(RLock::new(Cell::new(0)));
        let first = lock.lock();
        let second = lock.lock();
        let third = lock.try_lock().unwrap();
        let fourth = lock.lock_timeout(Duration::ZERO).unwrap();
        let theirs = lock.clone();
        let other = spawn(move || {
            assert!(theirs.try_lock().is_none() && !theirs.is_owned());
            theirs.lock().get()
        });
        settle();
        first.set(7);
        // In any order.
        drop(first);
        drop(third);
        drop(fourth);
        settle();
        assert!(!other.is_finished() && lock.is_owned());
        drop(second);
        assert!(!lock.is_owned());
        assert_eq!(other.join().unwrap(), 7);
    });
}

#[test]
fn a_generator_in_a_task_counts_as_that_task() {
    green(|| {
        let lock = Arc::new(RLock::new(()));
        let guard = lock.lock();
        let theirs = lock.clone();
        let inner = Generator::<bool>::new(move |y| {
            let _guard = theirs.lock();
            y.suspend(theirs.is_owned());
        });
        assert_eq!(inner.next(), Some(true));
        drop(guard);
        let theirs = lock.clone();
        let other = spawn(move || drop(theirs.lock()));
        settle();
        assert!(!other.is_finished(), "the generator's guard lives");
        drop(inner);
        other.join().unwrap();
    });
}

#[test]
fn a_plain_thread_owns_it_as_well() {
    let lock = RLock::new(RefCell::new(vec![1]));
    let _outer = lock.lock();
    lock.lock().borrow_mut().push(2);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(lock.try_lock().is_none()));
    });
    // A task on this thread is somebody else.
    green(|| assert!(lock.lock_timeout(Duration::from_millis(1)).is_none()));
    assert_eq!(*lock.lock().borrow(), [1, 2]);
}

#[test]
fn it_is_waited_for_no_longer_than_asked() {
    virtual_time(|| {
        let lock = Arc::new(RLock::new(()));
        let _guard = lock.lock();
        let theirs = lock.clone();
        let begun = greenloom::time::now();
        let other = spawn(move || theirs.lock_timeout(SECOND).is_none());
        assert!(other.join().unwrap());
        assert_eq!(greenloom::time::now() - begun, SECOND);
    });
}

#[test]
fn a_panic_frees_it_at_every_depth_and_poisons_nothing() {
    green(|| {
        let lock = RLock::new(3);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _one = lock.lock();
            let _two = lock.lock();
            panic!("two deep");
        }));
        assert!(result.is_err() && !lock.is_owned());
        assert_eq!(*lock.try_lock().unwrap(), 3);
        assert_eq!(lock.into_inner(), 3);
    });
}

#[test]
fn whoever_leaves_at_whatever_step_frees_it() {
    at_every_step(25, |exit| {
        let lock = Arc::new(RLock::new(Cell::new(0)));
        let work = |lock: &RLock<Cell<u32>>| {
            let outer = lock.lock();
            tick();
            let inner = lock.lock();
            inner.set(inner.get() + 1);
            drop(outer);
            tick();
        };
        let others: Vec<_> = (0..3)
            .map(|_| {
                let lock = lock.clone();
                spawn(move || (0..2).for_each(|_| work(&lock)))
            })
            .collect();
        let theirs = lock.clone();
        exit.strike(exit.victim(move || (0..2).for_each(|_| work(&theirs))));
        others.into_iter().for_each(|task| task.join().unwrap());
        let count = lock.try_lock().expect("free at the end").get();
        assert!((6..=8).contains(&count));
    });
}

#[test]
fn tasks_and_threads_exclude_each_other_at_any_depth() {
    let lock = Arc::new(RLock::new(RefCell::new(0)));
    fn work(lock: &RLock<RefCell<u64>>) {
        for n in 0..1_000 {
            let count = lock.lock();
            let before = *count.borrow();
            if n % 7 == 0 {
                yield_now();
            }
            *lock.lock().borrow_mut() += 1;
            assert_eq!(*count.borrow(), before + 1);
        }
    }
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let lock = lock.clone();
            scope.spawn(move || work(&lock));
        }
        let lock = lock.clone();
        Runtime::builder()
            .workers(2)
            .run(move || {
                let tasks: Vec<_> = (0..8)
                    .map(|_| {
                        let lock = lock.clone();
                        spawn(move || work(&lock))
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
    });
    assert_eq!(*lock.lock().borrow(), 10_000);
}

#[test]
fn a_thread_that_ends_may_take_it_in_its_last_moments() {
    static LOCK: RLock<Cell<u32>> = RLock::new(Cell::new(0));
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            let outer = LOCK.lock();
            LOCK.lock().set(outer.get() + 1);
        }
    }
    thread_local! {
        static LATE: Late = const { Late };
    }
    std::thread::spawn(|| LATE.with(|_| ())).join().unwrap();
    assert_eq!(LOCK.lock().get(), 1);
}

#[test]
fn a_deadlock_report_names_its_owner() {
    let text = Runtime::builder()
        .workers(1)
        .closed_world()
        .panic_note(false)
        .run(|| {
            let lock = Arc::new(RLock::new("text"));
            let theirs = lock.clone();
            let holder = greenloom::Builder::new().name("holder");
            let _holder = holder
                .spawn(move || {
                    let _guard = theirs.lock();
                    greenloom::park();
                })
                .unwrap();
            yield_now();
            let result = catch_unwind(AssertUnwindSafe(|| drop(lock.lock())));
            *result.unwrap_err().downcast::<String>().unwrap()
        })
        .unwrap();
    let line = text.lines().find(|line| line.contains("(main)")).unwrap();
    assert!(
        line.contains("sync.rlock on an RLock<&str> held by task "),
        "{text}"
    );
    assert!(line.contains(" \"holder\" since "), "{text}");
}
