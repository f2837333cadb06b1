//! Coroutines in tasks, tasks under coroutines, std's scopes in both: soundness where two wings meet.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::coroutine::{Coroutine, Generator, Greenlet, suspend};
use greenloom::{
    RunError, Runtime, no_park, park, run, scope, shield, sleep, spawn, spawn_local, timeout,
    try_run, yield_now,
};

use crate::watch::{OnDrop, watched};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn virtually<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    watched(|| Runtime::builder().virtual_clock().run(f).unwrap())
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .expect("a message")
}

#[test]
fn a_generator_in_a_task_may_wait_and_its_neighbours_run_meanwhile() {
    virtually(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let theirs = count.clone();
        let neighbour = spawn(move || {
            for _ in 0..10 {
                sleep(SECOND);
                theirs.fetch_add(1, Ordering::Relaxed);
            }
        });
        let items: Vec<u32> = Generator::new(|out| {
            for n in 0..5 {
                sleep(SECOND);
                out.suspend(n);
                yield_now();
            }
        })
        .collect();
        assert_eq!(items, [0, 1, 2, 3, 4]);
        assert!(count.load(Ordering::Relaxed) >= 4);
        neighbour.join().unwrap();
    });
}

#[test]
fn a_cancellation_unwinds_through_the_generators_of_a_task() {
    virtually(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let theirs = drops.clone();
        let task = spawn(move || {
            let inner_drops = theirs.clone();
            let _outer = OnDrop(|| {
                theirs.fetch_add(1, Ordering::Relaxed);
            });
            let generator = Generator::<u8>::new(move |out| {
                let _guard = OnDrop(|| {
                    sleep(SECOND);
                    inner_drops.fetch_add(10, Ordering::Relaxed);
                });
                out.suspend(1);
                park();
            });
            generator.next();
            generator.next();
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::Relaxed), 11);
    });
}

#[test]
fn a_time_out_round_a_generator_ends_it() {
    virtually(|| {
        let generator = Generator::<u8>::new(|out| {
            out.suspend(1);
            sleep(HOUR);
        });
        assert_eq!(generator.next(), Some(1));
        assert!(timeout(SECOND, || generator.next()).is_err());
        assert!(generator.is_finished());
    });
}

/// Puts the body into a coroutine of some kind; the body is given the call that would leave it.
type Way = Box<dyn Fn(fn(&dyn Fn()))>;

/// Each of these frames is pointed to by something that outlives the suspension.
#[test]
fn no_coroutine_is_left_inside_of_a_scope_a_time_out_a_shield_or_no_park() {
    fn check(what: &str, body: fn(&dyn Fn())) {
        let ways: [(&str, Way); 3] = [
            (
                "yielder",
                Box::new(|body| {
                    let generator = Generator::<u8>::new(move |out| {
                        body(&|| {
                            out.suspend(1);
                        });
                    });
                    generator.next();
                }),
            ),
            (
                "ambient",
                Box::new(|body| {
                    let coroutine = Coroutine::<(), u8, ()>::new(move |_, ()| {
                        body(&|| suspend::<(), u8>(1));
                    });
                    let _ = coroutine.resume(());
                }),
            ),
            (
                "greenlet",
                Box::new(|body| {
                    let root = Greenlet::current();
                    let greenlet = Greenlet::new(move |()| {
                        body(&|| {
                            if let Err(error) = root.switch(()) {
                                panic!("{error}");
                            }
                        });
                    });
                    if let Err(error) = greenlet.switch(()) {
                        panic!("{error}");
                    }
                }),
            ),
        ];
        for (how, way) in ways {
            let caught = catch_unwind(AssertUnwindSafe(|| way(body)));
            let payload = caught.expect_err(&format!("{how} left {what}"));
            let text = message(&*payload);
            // A greenlet's error is about the switch, and gives no reason.
            assert!(text.contains(what) || how == "greenlet", "{how}: {text}");
        }
    }
    virtually(|| {
        check("scope", |leave| {
            let local = Cell::new(1);
            let text = String::from("local");
            scope(|s| {
                drop(s.spawn(|| {
                    sleep(SECOND);
                    assert_eq!(text, "local");
                }));
                leave();
                local.set(2);
            });
        });
        check("timeout", |leave| {
            let _ = timeout(HOUR, leave);
        });
        check("shield", |leave| shield(leave));
        check("no_park", |leave| no_park(leave));
    });
}

#[test]
fn a_generator_that_waits_in_one_task_cannot_be_resumed_from_another() {
    virtually(|| {
        let generator = Rc::new(Generator::<u8>::new(|out| {
            sleep(SECOND);
            out.suspend(1);
        }));
        let theirs = generator.clone();
        let task = spawn_local(move || theirs.next());
        yield_now();
        let caught = catch_unwind(AssertUnwindSafe(|| generator.next()));
        assert!(caught.is_err());
        assert_eq!(task.join().unwrap(), Some(1));
        // Between its items it may change hands.
        let theirs = generator.clone();
        assert_eq!(spawn_local(move || theirs.next()).join().unwrap(), None);
    });
}

#[test]
fn a_run_below_a_coroutine_is_a_barrier() {
    // On a plain thread a coroutine may run a runtime; its tasks cannot suspend that coroutine.
    let generator = Generator::<u8>::new(|out| {
        let inner = run(|| catch_unwind(AssertUnwindSafe(|| suspend::<(), u8>(7))).is_err());
        assert!(inner);
        out.suspend(1);
    });
    assert_eq!(generator.next(), Some(1));
    assert_eq!(generator.next(), None);
    // In a task it may not.
    run(|| {
        let generator = Generator::<u8>::new(|out| {
            assert!(matches!(try_run(|| ()), Err(RunError::Nested)));
            out.suspend(1);
        });
        assert_eq!(generator.next(), Some(1));
    });
}

#[test]
fn each_task_has_its_own_greenlets() {
    Runtime::builder()
        .workers(1)
        .run(|| {
            let foreign: Rc<RefCell<Option<Greenlet>>> = Rc::default();
            let theirs = foreign.clone();
            let task = spawn_local(move || {
                *theirs.borrow_mut() = Some(Greenlet::current());
                let inner = Greenlet::new(|n: u32| {
                    yield_now();
                    n + 1
                });
                let _ = inner.switch(1_u32);
                park();
            });
            yield_now();
            yield_now();
            let other = foreign.borrow_mut().take().unwrap();
            assert!(other.switch(()).is_err());
            assert!(other.throw(1).is_err());
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert!(other.switch(()).is_err());
        })
        .unwrap();
}

thread_local! {
    static KEPT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn a_wait_inside_of_a_thread_locals_with_is_sound() {
    Runtime::builder()
        .workers(3)
        .run(|| {
            let tasks: Vec<_> = (0..30)
                .map(|n| {
                    spawn(move || {
                        KEPT.with(|kept| {
                            let before = std::ptr::from_ref(kept);
                            yield_now();
                            sleep(Duration::from_millis(1));
                            kept.borrow_mut().push(n);
                            // The task is on the thread on which it began.
                            assert_eq!(KEPT.with(std::ptr::from_ref), before);
                        });
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        })
        .unwrap();
}

#[test]
fn a_task_ended_in_a_thread_locals_with_or_a_std_scope_unwinds_first() {
    watched(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let seen = seen.clone();
            let body = move || {
                KEPT.with(|kept| {
                    let local = [1_usize; 4];
                    let _guard = OnDrop(|| {
                        yield_now();
                        kept.borrow_mut().push(1);
                        seen.fetch_add(1, Ordering::Relaxed);
                    });
                    std::thread::scope(|threads| {
                        threads.spawn(|| {
                            crate::watch::hog(Duration::from_millis(5));
                            assert_eq!(local.iter().sum::<usize>(), 4);
                        });
                        park();
                    });
                });
            };
            drop(runtime.handle().spawn(body).unwrap());
        }
        runtime.block_on(|| sleep(Duration::from_millis(20)));
        runtime.stop();
        assert_eq!(seen.load(Ordering::Relaxed), 10);
    });
}

#[test]
fn no_park_stops_every_wait_and_lets_the_rest_pass() {
    Runtime::builder()
        .workers(1)
        .run(|| {
            let done = spawn(|| 1);
            while !done.is_finished() {
                yield_now();
            }
            no_park(|| {
                for wait in [
                    yield_now as fn(),
                    park,
                    || sleep(SECOND),
                    || spawn(|| ()).join().unwrap(),
                    || greenloom::unblock(|| ()),
                    || scope(|_| ()),
                ] {
                    let text = message(&*catch_unwind(wait).unwrap_err());
                    assert!(text.contains("no_park"), "{text}");
                }
                assert_eq!(done.join().unwrap(), 1);
                let (sender, receiver) = greenloom::channel::bounded(1000);
                for n in 0..500 {
                    sender.send(n).unwrap();
                    assert_eq!(receiver.recv().unwrap(), n);
                }
            });
            yield_now();
        })
        .unwrap();
}

#[test]
fn a_forgotten_generator_in_a_task_is_no_harm() {
    for _ in 0..10 {
        run(|| {
            let tasks: Vec<_> = (0..10)
                .map(|_| {
                    spawn(|| {
                        let generator = Generator::<u8>::new(|out| {
                            let _held = String::from("held");
                            loop {
                                out.suspend(1);
                            }
                        });
                        generator.next();
                        std::mem::forget(generator);
                        let dropped = Generator::<u8>::new(|out| {
                            let _guard = OnDrop(yield_now);
                            loop {
                                out.suspend(1);
                            }
                        });
                        dropped.next();
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}
