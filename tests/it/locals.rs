//! Task-local values: a task's own, dropped with it, inherited only where that is declared.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::coroutine::Generator;
use greenloom::task::{self, JoinError};
use greenloom::{
    Runtime, scope, shield, sleep, spawn, spawn_local, task_local, timeout, yield_now,
};

use crate::util::{green, virtual_time};
use crate::watch::OnDrop;

task_local! {
    static COUNT: Cell<u32> = Cell::new(7);
    static NAMES: RefCell<Vec<String>> = RefCell::default();
    static inherit USER: String = "nobody".to_owned();
    static inherit DEPTH: Cell<usize> = Cell::new(0)
}

#[test]
fn each_task_has_a_value_of_its_own_made_at_first_use() {
    for workers in [1, 2] {
        Runtime::builder()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = (0..100)
                    .map(|n| {
                        spawn(move || {
                            assert_eq!(COUNT.get(), 7);
                            COUNT.set(n);
                            yield_now();
                            COUNT.get()
                        })
                    })
                    .collect();
                for (n, task) in (0..).zip(tasks) {
                    assert_eq!(task.join().unwrap(), n);
                }
                assert_eq!(COUNT.get(), 7);
            })
            .unwrap();
    }
}

#[test]
fn cells_have_the_calls_that_std_has_for_its_thread_locals() {
    green(|| {
        assert_eq!(COUNT.replace(1), 7);
        assert_eq!(COUNT.take(), 1);
        assert_eq!(COUNT.get(), 0);
        NAMES.with_borrow_mut(|names| names.push("a".to_owned()));
        assert_eq!(NAMES.with_borrow(Vec::len), 1);
        assert_eq!(NAMES.replace(Vec::new()).len(), 1);
        NAMES.set(vec!["b".to_owned()]);
        assert_eq!(NAMES.take(), ["b"]);
        assert_eq!(COUNT.try_with(Cell::get), Ok(0));
        assert_eq!(format!("{COUNT:?}"), "LocalKey { is_inherited: false, .. }");
    });
}

#[test]
fn an_initialiser_may_wait_and_use_other_keys() {
    task_local! {
        static SLOW: u32 = {
            sleep(Duration::from_secs(1));
            COUNT.set(COUNT.get() + 1);
            COUNT.get()
        };
        static UNSTABLE: u32 = panic!("not now");
    }
    virtual_time(|| {
        let tasks: Vec<_> = (0..3).map(|_| spawn(|| SLOW.cloned())).collect();
        for task in tasks {
            assert_eq!(task.join().unwrap(), 8);
        }
        // One that fails is tried again.
        for _ in 0..2 {
            assert!(catch_unwind(|| UNSTABLE.cloned()).is_err());
        }
        // One that times out too.
        assert!(timeout(Duration::from_millis(1), || SLOW.cloned()).is_err());
        assert_eq!(COUNT.get(), 7);
        assert_eq!(SLOW.cloned(), 8);
    });
}

#[test]
fn values_are_inherited_where_that_is_declared_and_by_clone() {
    for workers in [1, 2] {
        Runtime::builder()
            .workers(workers)
            .run(|| {
                USER.scope("ann".to_owned(), || {
                    COUNT.set(1);
                    DEPTH.set(1);
                    let child = spawn(|| {
                        DEPTH.set(DEPTH.get() + 1);
                        let grandchild = spawn(|| (USER.cloned(), DEPTH.get()));
                        (USER.cloned(), COUNT.get(), grandchild.join().unwrap())
                    });
                    // Taken when it was spawned.
                    DEPTH.set(100);
                    let ann = "ann".to_owned();
                    assert_eq!(child.join().unwrap(), (ann.clone(), 7, (ann.clone(), 2)));
                    // By every way of spawning.
                    let local = spawn_local(|| USER.cloned()).join().unwrap();
                    let scoped = scope(|s| s.spawn(|| USER.cloned()).join().unwrap());
                    let built = task::Builder::new().spawn(|| USER.cloned());
                    let later = greenloom::spawn_after(Duration::ZERO, || USER.cloned());
                    assert_eq!(
                        [
                            local,
                            scoped,
                            built.unwrap().join().unwrap(),
                            later.join().unwrap()
                        ],
                        ["ann", "ann", "ann", "ann"]
                    );
                });
                assert_eq!(USER.cloned(), "nobody");
                assert_eq!(spawn(|| USER.cloned()).join().unwrap(), "nobody");
            })
            .unwrap();
    }
}

#[test]
fn plain_threads_have_values_too_and_leave_them_to_tasks() {
    let dropped = Arc::new(AtomicUsize::new(0));
    task_local! { static inherit BY_THREAD: Option<Arc<Counted>> = None; }
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let theirs = dropped.clone();
    std::thread::spawn(move || {
        assert_eq!(COUNT.get(), 7);
        COUNT.set(8);
        assert_eq!(spawn(|| COUNT.get()).join().unwrap(), 7);
        assert_eq!(COUNT.get(), 8);
        let counted = Arc::new(Counted(theirs.clone()));
        BY_THREAD.scope(Some(counted), || {
            let child = spawn(|| BY_THREAD.with(Option::is_some));
            assert!(child.join().unwrap());
        });
        assert_eq!(theirs.load(Ordering::Relaxed), 1);
        task_local! { static AT_EXIT: RefCell<Option<Counted>> = RefCell::new(None); }
        AT_EXIT.set(Some(Counted(theirs)));
    })
    .join()
    .unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

/// Writes down who is dropped, and looks whether other keys can still be used.
struct Noisy(&'static str, Arc<Mutex<Vec<String>>>);

impl Drop for Noisy {
    fn drop(&mut self) {
        let first = FIRST.try_with(|first| first.borrow().is_some());
        yield_now();
        let mut log = self.1.lock().unwrap();
        log.push(format!("{} {first:?}", self.0));
        drop(log);
        // Made by a destructor, and dropped all the same.
        if self.0 == "second" {
            LATE.set(Some(Noisy("late", self.1.clone())));
        }
    }
}

task_local! {
    static FIRST: RefCell<Option<Noisy>> = RefCell::new(None);
    static SECOND: RefCell<Option<Noisy>> = RefCell::new(None);
    static LATE: RefCell<Option<Noisy>> = RefCell::new(None);
}

const ENDED: &str = "Err(AccessError(()))";

#[test]
fn values_are_dropped_in_the_task_the_youngest_first_before_it_is_joined() {
    for cancelled in [false, true] {
        let log = Arc::new(Mutex::new(Vec::new()));
        let theirs = log.clone();
        green(move || {
            let task = spawn(move || {
                FIRST.set(Some(Noisy("first", theirs.clone())));
                SECOND.set(Some(Noisy("second", theirs)));
                yield_now();
                yield_now();
            });
            if cancelled {
                yield_now();
                task.cancel();
            }
            assert_eq!(task.join().is_err(), cancelled);
        });
        let log = log.lock().unwrap();
        assert_eq!(
            *log,
            [
                "second Ok(true)".to_owned(),
                "late Ok(true)".to_owned(),
                format!("first {ENDED}"),
            ]
        );
    }
}

#[test]
fn a_destructor_that_panics_is_the_end_of_its_value_and_not_of_the_others() {
    task_local! { static BAD: RefCell<Option<OnDrop<fn()>>> = RefCell::new(None); }
    let log = Arc::new(Mutex::new(Vec::new()));
    let theirs = log.clone();
    green(move || {
        let task = spawn(move || {
            FIRST.set(Some(Noisy("first", theirs)));
            BAD.set(Some(OnDrop(|| panic!("in a destructor"))));
            5
        });
        assert_eq!(task.join().unwrap(), 5);
        yield_now();
    });
    assert_eq!(*log.lock().unwrap(), [format!("first {ENDED}")]);
}

#[test]
fn what_an_unwanted_result_makes_in_its_destructor_is_dropped_too() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let theirs = log.clone();
    green(move || {
        drop(spawn(move || {
            OnDrop(move || LATE.set(Some(Noisy("late", theirs.clone()))))
        }));
        (0..10).for_each(|_| yield_now());
    });
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[test]
fn a_task_that_is_cancelled_before_it_starts_drops_what_it_inherited() {
    let value = Arc::new(());
    task_local! { static inherit HELD: Option<Arc<()>> = None; }
    green(|| {
        HELD.scope(Some(value.clone()), || {
            let task = spawn(|| ());
            assert_eq!(Arc::strong_count(&value), 3);
            task.cancel();
            assert!(matches!(task.join(), Err(JoinError::Cancelled)));
        });
    });
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_clone_that_panics_spoils_only_the_spawn() {
    #[derive(Debug)]
    struct Unclonable;
    impl Clone for Unclonable {
        fn clone(&self) -> Self {
            panic!("not to be cloned")
        }
    }
    task_local! { static inherit SINGLE: Unclonable = Unclonable; }
    green(|| {
        SINGLE.with(|_| ());
        assert!(catch_unwind(|| drop(spawn(|| ()))).is_err());
        let ran = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| drop(s.spawn(|| ())));
        }));
        assert!(ran.is_err());
    });
    green(|| assert_eq!(spawn(|| 3).join().unwrap(), 3));
}

#[test]
fn a_scope_puts_the_old_value_back_on_every_way_out() {
    virtual_time(|| {
        let value = || USER.cloned();
        let set = |text: &str, f: &dyn Fn()| USER.scope(text.to_owned(), f);
        set("outer", &|| {
            let panicked = catch_unwind(AssertUnwindSafe(|| set("inner", &|| panic!("out"))));
            assert!(panicked.is_err());
            assert_eq!(value(), "outer");
            let late = timeout(Duration::from_secs(1), || {
                set("inner", &|| sleep(Duration::MAX));
            });
            assert!(late.is_err());
            assert_eq!(value(), "outer");
        });
        assert_eq!(value(), "nobody");
    });
}

#[test]
fn a_reference_stays_good_when_its_value_is_replaced() {
    green(|| {
        USER.scope("old".to_owned(), || {
            USER.with(|old| {
                USER.scope("new".to_owned(), || assert_eq!(USER.cloned(), "new"));
                assert_eq!(old, "old");
            });
        });
    });
}

#[test]
fn a_reference_in_a_generator_outlives_the_task_that_made_it() {
    task_local! { static HELD: Rc<Cell<u32>> = Rc::new(Cell::new(3)); }
    green(|| {
        let generator = spawn_local(|| {
            let generator = Generator::<u32>::new(|y| {
                HELD.with(|held| {
                    y.suspend(held.get());
                    held.set(held.get() + 1);
                    y.suspend(held.get());
                });
            });
            assert_eq!(generator.next(), Some(3));
            generator
        })
        .join()
        .unwrap();
        // The task has ended; so has its value, but for this reference.
        let ended = spawn_local(move || {
            let generator = generator;
            HELD.with(|mine| mine.set(50));
            (generator.next(), generator.next())
        });
        assert_eq!(ended.join().unwrap(), (Some(4), None));
    });
}

#[test]
fn a_generator_is_not_suspended_inside_a_scope_of_a_value() {
    green(|| {
        let generator = Generator::<u32>::new(|y| {
            USER.scope("inside".to_owned(), || y.suspend(1));
        });
        let panic = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("LocalKey::scope"), "{text}");
        assert_eq!(USER.cloned(), "nobody");
    });
}

#[test]
fn destructors_are_not_cut_short_by_a_cancellation() {
    let done = Arc::new(AtomicUsize::new(0));
    let theirs = done.clone();
    task_local! { static SLOW: RefCell<Option<OnDrop<Box<dyn FnMut()>>>> = RefCell::new(None); }
    virtual_time(move || {
        let task = spawn(move || {
            let wait: Box<dyn FnMut()> = Box::new(move || {
                sleep(Duration::from_secs(1));
                sleep(Duration::from_secs(1));
                theirs.fetch_add(1, Ordering::Relaxed);
            });
            SLOW.set(Some(OnDrop(wait)));
        });
        yield_now();
        // In the midst of the destructor.
        task.cancel();
        shield(|| task.join()).unwrap();
    });
    assert_eq!(done.load(Ordering::Relaxed), 1);
}
