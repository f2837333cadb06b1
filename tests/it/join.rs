//! Joining: from tasks, from threads, from other runtimes, from foreign executors.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use greenloom::{JoinError, JoinHandle, Runtime, park, run, sleep, spawn, spawn_local, yield_now};

use crate::watch::{OnDrop, eventually, watched};

#[test]
fn a_panic_comes_to_the_joiner_with_its_payload() {
    run(|| {
        let task = spawn(|| std::panic::panic_any(41_u64));
        let payload = task.join().unwrap_err().into_panic().unwrap();
        assert_eq!(*payload.downcast::<u64>().unwrap(), 41);
    });
}

#[test]
fn a_task_that_joins_itself_is_told_so() {
    run(|| {
        let slot: Arc<Mutex<Option<JoinHandle<()>>>> = Arc::default();
        let theirs = slot.clone();
        let told = Arc::new(AtomicUsize::new(0));
        let count = told.clone();
        let task = spawn(move || {
            let own = loop {
                if let Some(own) = theirs.lock().unwrap().take() {
                    break own;
                }
                yield_now();
            };
            let own = match own.join_timeout(Duration::from_secs(1)) {
                Ok(Err(JoinError::Itself)) => count.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
            assert_eq!(own, 0);
        });
        *slot.lock().unwrap() = Some(task);
        while told.load(Ordering::Relaxed) == 0 {
            yield_now();
        }
    });
}

#[test]
fn join_timeout_gives_the_handle_back() {
    watched(|| {
        Runtime::builder().virtual_clock().run(|| {
            let task = spawn(|| {
                sleep(Duration::from_secs(10));
                5
            });
            let task = task.join_timeout(Duration::ZERO).unwrap_err();
            let task = task.join_timeout(Duration::from_secs(9)).unwrap_err();
            assert_eq!(
                task.join_timeout(Duration::from_secs(2)).unwrap().unwrap(),
                5
            );
            let done = spawn(|| 6);
            yield_now();
            assert_eq!(done.join_timeout(Duration::ZERO).unwrap().unwrap(), 6);
        })
    })
    .unwrap();
}

#[test]
fn plain_threads_join_and_time_out() {
    let task = spawn(park);
    let task = task.join_timeout(Duration::from_millis(3)).unwrap_err();
    task.cancel();
    assert!(task.join().unwrap_err().is_cancelled());
}

/// The joiner's worker may start a task of its own runtime only: the other one counts it, and stops it.
#[test]
fn a_join_across_runtimes_leaves_the_task_where_it_belongs() {
    watched(|| {
        let there = Runtime::builder()
            .workers(1)
            .task_limit(3)
            .thread_name("there")
            .build()
            .unwrap();
        let here = Runtime::builder().workers(1).task_limit(3).build().unwrap();
        for _ in 0..50 {
            let handle = there.handle();
            let name = here.block_on(move || {
                let name = || std::thread::current().name().map(str::to_owned);
                handle.spawn(name).unwrap().join().unwrap()
            });
            assert_eq!(name.as_deref(), Some("there-0"));
        }
    });
}

#[test]
fn handles_give_their_outcome_after_the_runtime_has_stopped() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handle = runtime.handle();
    let done = handle.spawn(|| 3).unwrap();
    assert!(eventually(|| done.is_finished()));
    let parked = handle.spawn(park).unwrap();
    let never: Vec<_> = (0..100).map(|_| handle.spawn(park).unwrap()).collect();
    let task = parked.task();
    runtime.stop();
    task.unpark();
    assert_eq!(done.join().unwrap(), 3);
    assert!(parked.join().unwrap_err().is_cancelled());
    for task in never {
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
    }
    let error = handle.spawn(|| ()).unwrap_err();
    assert!(error.to_string().contains("stopping"), "{error}");
}

/// An executor of three lines, with a waker of its own.
struct Flag(AtomicUsize, std::thread::Thread);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.unpark();
    }
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let flag = Arc::new(Flag(AtomicUsize::new(0), std::thread::current()));
    let waker = Waker::from(flag.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = Pin::new(&mut future).poll(&mut context) {
            return value;
        }
        while flag.0.swap(0, Ordering::SeqCst) == 0 {
            #[expect(clippy::disallowed_methods, reason = "an executor of its own")]
            std::thread::park();
        }
    }
}

#[test]
fn a_handle_is_a_future_for_any_executor() {
    watched(|| {
        for n in 0..200_u64 {
            let task = spawn(move || {
                if n % 3 == 0 {
                    sleep(Duration::from_micros(n));
                }
                n
            });
            assert_eq!(block_on(task).unwrap(), n);
        }
    });
}

#[test]
fn a_handle_may_be_polled_by_one_and_joined_by_another() {
    watched(|| {
        for _ in 0..200 {
            let mut task = spawn(|| {
                yield_now();
                1
            });
            let first = Waker::noop();
            let second = Waker::from(Arc::new(Flag(AtomicUsize::new(0), std::thread::current())));
            for waker in [first, &second, first] {
                let mut context = Context::from_waker(waker);
                if let Poll::Ready(value) = Pin::new(&mut task).poll(&mut context) {
                    assert_eq!(value.unwrap(), 1);
                    task = spawn(|| 1);
                }
            }
            // From the same worker as well.
            let value = spawn(move || task.join().unwrap()).join().unwrap();
            assert_eq!(value, 1);
        }
    });
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn a_foreign_waker_that_panics_harms_nobody_else() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let mut task = runtime
        .handle()
        .spawn(|| sleep(Duration::from_millis(2)))
        .unwrap();
    let waker = Waker::from(Arc::new(Bomb));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut task).poll(&mut context).is_pending());
    assert!(eventually(|| task.is_finished()));
    assert_eq!(runtime.block_on(|| 1), 1);
    task.join().unwrap();
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a drop that panics");
        }
    }
}

#[test]
fn drops_that_panic_harm_nobody_else() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    // Neither ends before its handle is gone: what has ended is dropped by who drops the handle.
    let (detached, is_detached) = std::sync::mpsc::channel::<()>();
    // A detached value.
    let value = runtime.handle().spawn(move || {
        let _ = is_detached.recv();
        PanicsWhenDropped
    });
    // A detached panic's payload.
    let payload = runtime
        .handle()
        .spawn(|| std::panic::panic_any(PanicsWhenDropped));
    drop((value.unwrap(), payload.unwrap()));
    drop(detached);
    // The closure of a task that never starts.
    let guard = PanicsWhenDropped;
    runtime.block_on(move || {
        let task = spawn(move || {
            let _guard = guard;
        });
        task.cancel();
        assert!(task.join().is_err());
    });
    assert_eq!(runtime.block_on(|| 1), 1);
}

#[test]
fn a_value_whose_drop_panics_panics_in_who_drops_the_handle() {
    run(|| {
        let task = spawn(|| PanicsWhenDropped);
        while !task.is_finished() {
            yield_now();
        }
        assert!(catch_unwind(AssertUnwindSafe(|| drop(task))).is_err());
    });
}

#[test]
fn forgotten_handles_are_no_harm() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        let count = count.clone();
        let task = runtime.handle().spawn(move || {
            let _guard = OnDrop(|| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            if n % 2 == 0 {
                park();
            }
            Box::new(n)
        });
        std::mem::forget(task.unwrap());
    }
    assert!(eventually(|| count.load(Ordering::Relaxed) >= 50));
    runtime.stop();
    // One of those that never started drops its closure without having run.
    assert!(count.load(Ordering::Relaxed) <= 100);
}

#[test]
fn a_local_task_may_hold_and_give_what_is_not_send() {
    run(|| {
        let shared = std::rc::Rc::new(std::cell::Cell::new(1));
        let theirs = shared.clone();
        let task = spawn_local(move || {
            theirs.set(2);
            yield_now();
            theirs
        });
        assert_eq!(task.join().unwrap().get(), 2);
    });
}

#[test]
fn a_joiner_that_gives_up_leaves_the_task_alone() {
    watched(|| {
        Runtime::builder().virtual_clock().run(|| {
            let target = spawn(|| sleep(Duration::from_secs(10)));
            let seen = target.task();
            let joiner = spawn(move || target.join());
            yield_now();
            joiner.cancel();
            assert!(joiner.join().unwrap_err().is_cancelled());
            sleep(Duration::from_secs(20));
            seen.unpark();
        })
    })
    .unwrap();
}

#[test]
fn deep_chains_of_joins_end() {
    fn chain(depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        spawn(move || chain(depth - 1)).join().unwrap() + 1
    }
    for workers in [1, 2] {
        let depth = Runtime::builder().workers(workers).run(|| chain(2000));
        assert_eq!(depth.unwrap(), 2000);
    }
}

#[test]
fn its_errors_go_wherever_errors_go() {
    fn joined() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(run(|| {
            spawn(|| std::panic::resume_unwind(Box::new("gone"))).join()
        })?)
    }
    assert_eq!(joined().unwrap_err().to_string(), "the task panicked: gone");
}
