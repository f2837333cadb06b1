//! Futures on tasks and threads: who waits, who wakes, who drops.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use greenloom::future::{block_on, spawn_future};
use greenloom::sync::{Event, Semaphore};
use greenloom::task::TaskId;
use greenloom::{Runtime, current, sleep, spawn, timeout, yield_now};

use crate::util::{green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

/// A value that comes later, by nobody's runtime.
struct Later<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Later<T> {
    fn new() -> (Self, impl FnOnce(T)) {
        let slot = Arc::new(Mutex::new((None, None::<Waker>)));
        let theirs = slot.clone();
        let give = move |value| {
            let waker = {
                let mut slot = theirs.lock().unwrap();
                slot.0 = Some(value);
                slot.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        (Later(slot), give)
    }
}

impl<T> Future for Later<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.0.lock().unwrap();
        match slot.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn a_future_runs_on_a_task_and_on_a_thread() {
    assert_eq!(block_on(ready(1)), 1);
    assert_eq!(green(|| block_on(async { block_on(ready(2)) + 1 })), 3);
}

#[test]
fn only_the_task_waits() {
    green(|| {
        let (later, give) = Later::new();
        let task = spawn_future(later);
        yield_now();
        assert!(!task.is_finished());
        give("now");
        assert_eq!(task.join().unwrap(), "now");
    });
}

#[test]
fn wakers_work_from_any_thread_for_tasks_and_threads() {
    for _ in 0..200 {
        let (first, give_first) = Later::new();
        let (second, give_second) = Later::new();
        let thread = std::thread::spawn(move || {
            give_first(1);
            give_second(2);
        });
        let sum = green(|| block_on(first)) + block_on(second);
        thread.join().unwrap();
        assert_eq!(sum, 3);
    }
}

#[test]
fn thousands_of_futures_wait_for_each_other_on_two_workers() {
    let last = Runtime::builder()
        .workers(2)
        .run(|| {
            let mut task = spawn_future(async { 0 });
            for _ in 0..5_000 {
                let before = task;
                task = spawn_future(async move { before.await.unwrap() + 1 });
            }
            task.join().unwrap()
        })
        .unwrap();
    assert_eq!(last, 5_000);
}

#[test]
fn a_wake_that_comes_while_the_poll_waits_for_something_else_is_not_lost() {
    green(|| {
        let (event, waker) = (Arc::new(Event::new()), Arc::new(Mutex::new(None::<Waker>)));
        let (theirs, slot) = (event.clone(), waker.clone());
        let task = spawn(move || {
            let mut polls = 0;
            block_on(poll_fn(|context| {
                polls += 1;
                if polls == 2 {
                    return Poll::Ready(polls);
                }
                *slot.lock().unwrap() = Some(context.waker().clone());
                // A green wait within the poll.
                theirs.wait();
                Poll::Pending
            }))
        });
        yield_now();
        waker.lock().unwrap().take().unwrap().wake();
        yield_now();
        event.set();
        assert_eq!(task.join().unwrap(), 2);
    });
}

#[test]
fn a_future_is_not_polled_again_for_wakes_that_are_not_its_own() {
    green(|| {
        let polls = Arc::new(Mutex::new(0));
        let count = polls.clone();
        let (later, give) = Later::new();
        let mut later = Box::pin(later);
        let task = spawn_future(poll_fn(move |context| {
            *count.lock().unwrap() += 1;
            later.as_mut().poll(context)
        }));
        for _ in 0..5 {
            yield_now();
            task.task().unpark();
        }
        give(());
        task.join().unwrap();
        assert_eq!(*polls.lock().unwrap(), 2);
    });
}

/// Notes in which task it is dropped.
struct Place(Arc<Mutex<Option<TaskId>>>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = Some(current().id());
    }
}

#[test]
fn a_cancelled_future_is_dropped_inside_its_task() {
    green(|| {
        let dropped = Arc::new(Mutex::new(None));
        let place = Place(dropped.clone());
        let task = spawn_future(async move {
            let _place = place;
            pending::<()>().await;
        });
        yield_now();
        let id = task.id();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(*dropped.lock().unwrap(), Some(id));
    });
}

#[test]
fn a_time_out_ends_it() {
    virtual_time(|| {
        let begun = greenloom::time::now();
        assert!(timeout(SECOND, || block_on(pending::<()>())).is_err());
        assert_eq!(greenloom::time::now() - begun, SECOND);
        assert_eq!(timeout(SECOND, || block_on(ready(1))).ok(), Some(1));
    });
}

#[test]
fn a_future_may_wait_green_and_need_not_be_send() {
    virtual_time(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let theirs = log.clone();
        let task = greenloom::spawn_local(move || {
            let shared = Rc::new(Cell::new(0));
            block_on(async {
                sleep(SECOND);
                shared.set(1);
                theirs.borrow_mut().push("slept");
                spawn(|| sleep(SECOND)).await.unwrap();
                shared.get()
            })
        });
        assert_eq!(task.join().unwrap(), 1);
        assert_eq!(*log.borrow(), ["slept"]);
    });
}

#[test]
fn a_panic_of_the_future_is_the_caller_s() {
    green(|| {
        let task = spawn_future(async { panic!("in the future") });
        let Err(greenloom::JoinError::Panicked(panic)) = task.join() else {
            panic!("it did not");
        };
        assert_eq!(panic.message(), "in the future");
    });
}

#[test]
fn a_future_that_nobody_can_wake_is_in_the_deadlock_report() {
    let error = Runtime::builder()
        .workers(1)
        .closed_world()
        .panic_note(false)
        .run(|| block_on(pending::<()>()))
        .unwrap_err();
    assert!(error.to_string().contains("future.block_on"), "{error}");
}

#[test]
fn a_task_s_handle_is_awaited_on_another_runtime_s_task_and_on_a_thread() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let task = handle.spawn(|| 7).unwrap();
    assert_eq!(green(|| block_on(task)).unwrap(), 7);
    assert_eq!(block_on(handle.spawn(|| 8).unwrap()).unwrap(), 8);
    // And green things within a future on a plain thread.
    let semaphore = Semaphore::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| semaphore.release(1));
        block_on(async { semaphore.acquire().forget() });
    });
}
