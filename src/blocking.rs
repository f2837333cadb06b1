//! Work that blocks its thread, done on a thread of its own while only the task waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread;

use crate::driver::blocking_pool::BlockingPool;
use crate::runtime::{Handle, Outside};
use crate::scheduler::park::{self, Wait};

/// Where a job leaves what it came to, and the waker of who waits for it.
struct Desk<T> {
    outcome: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

/// Runs `f` on the runtime's pool of blocking threads and waits for its value.
///
/// For files, foreign libraries, long computations: anything that would keep a worker from its other
/// tasks. On a plain thread, and on a thread of the pool, `f` simply runs in place. The pool grows as
/// needed up to [`Builder::blocking_threads`](crate::runtime::Builder::blocking_threads); jobs beyond
/// that wait in line, the oldest first.
///
/// # Panics
///
/// With `f`'s own panic.
///
/// # Cancellation
///
/// Unwinds at once; `f` runs to its end on its thread and its value is dropped there.
///
/// # Parks
///
/// Until `f` has ended (`blocking.unblock`).
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let text = greenloom::unblock(|| std::fs::read_to_string("Cargo.toml")).unwrap();
/// assert!(text.contains("[package]"));
/// # });
/// ```
#[track_caller]
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // A thread of the pool has no handle, unless it runs a runtime of its own, whose tasks are not to wait for the job.
    match Handle::current() {
        Some(here) => unblock_by(&here.shared().blocking, "blocking.unblock", here.clone(), f),
        None => f(),
    }
}

/// As [`unblock`], on the threads of a pool that belongs to no runtime: a runtime that stops does not wait for the
/// job, and what waits for the runtime's own threads does not wait behind it.
#[track_caller]
pub(crate) fn unblock_apart<F, T>(pool: &BlockingPool, reason: &'static str, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match Handle::current() {
        Some(here) => unblock_by(pool, reason, here, f),
        None => f(),
    }
}

#[track_caller]
fn unblock_by<F, T>(pool: &BlockingPool, reason: &'static str, here: Handle, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    park::check_may_park(reason);
    let desk = Arc::new(Mutex::new(Desk {
        outcome: None,
        waker: None,
    }));
    let job = {
        let (desk, outside) = (desk.clone(), Outside::of(here));
        move || {
            // Until the very end the runtime is not at a standstill: the wake comes before, and the drop of
            // a value that nobody waits for any more, which may wake others.
            let _outside = outside;
            let desk = desk;
            finish(&desk, catch_unwind(AssertUnwindSafe(f)));
        }
    };
    if let Err(refused) = pool.submit(Box::new(job)) {
        log::warn!(
            "a blocking job runs on its worker, which waits for it: {}",
            refused.reason
        );
        (refused.job)();
    }
    collect(&desk, reason)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn finish<T>(desk: &Mutex<Desk<T>>, outcome: thread::Result<T>) {
    let waker = {
        let mut desk = lock(desk);
        desk.outcome = Some(outcome);
        desk.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[track_caller]
fn collect<T>(desk: &Mutex<Desk<T>>, reason: &'static str) -> T {
    let wait = Wait::new(reason);
    loop {
        {
            let mut desk = lock(desk);
            match desk.outcome.take() {
                Some(Ok(value)) => return value,
                Some(Err(payload)) => {
                    drop(desk);
                    park::rethrow(payload)
                }
                None => desk.waker = Some(park::current_waker()),
            }
        }
        let _ = park::park(&wait);
    }
}
