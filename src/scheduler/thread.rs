//! Waiting on a plain OS thread: a parker of our own, so that std's `park` token stays the user's.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake as StdWake, Waker};
use std::time::Duration;

use crate::base::clock::{Clock, Deadline};
use crate::base::rng::Rng;

use super::wait::Wake;

/// How long a thread that cannot be woken waits before it looks again.
const NAP: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
struct Parker {
    is_woken: Mutex<bool>,
    condvar: Condvar,
}

impl StdWake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        *self.is_woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.condvar.notify_one();
    }
}

thread_local! {
    static PARKER: OnceCell<Arc<Parker>> = const { OnceCell::new() };
}

thread_local! {
    /// A worker runs a waker that is not ours on its own stack: if that waited, all of the worker's tasks would.
    static IS_WAKING: Cell<bool> = const { Cell::new(false) };
}

/// Waits on this thread panic as long as it lives.
#[derive(Debug)]
#[must_use = "waits are forbidden as long as it lives"]
pub(super) struct NoWaits {
    before: bool,
}

pub(super) fn forbid_waits() -> NoWaits {
    NoWaits {
        before: IS_WAKING.replace(true),
    }
}

impl Drop for NoWaits {
    fn drop(&mut self) {
        IS_WAKING.set(self.before);
    }
}

/// Random bits on a plain thread; each begins with others.
pub(crate) fn random() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static RNG: Rng = Rng::new(THREADS.fetch_add(1, Ordering::Relaxed) << 32);
    }
    // It has no destructor, so it is there to the thread's end.
    RNG.with(Rng::draw)
}

/// `None` while the thread's locals are being destroyed.
fn parker() -> Option<Arc<Parker>> {
    PARKER
        .try_with(|parker| parker.get_or_init(Arc::default).clone())
        .ok()
}

/// This thread's waker.
pub(crate) fn waker() -> Waker {
    parker().map_or_else(|| Waker::noop().clone(), Waker::from)
}

fn remaining(deadline: Deadline) -> Option<Duration> {
    deadline.remaining(Clock::real().now())
}

/// As `park`, but looks again every so often: in a panic hook, what wakes the task does not reach the thread.
#[cold]
pub(crate) fn nap(deadline: Deadline) -> Wake {
    let soon = Deadline::after(Clock::real().now(), NAP);
    match park(deadline.min(soon)) {
        Wake::TimedOut if soon < deadline => Wake::Woken,
        wake => wake,
    }
}

/// Blocks this thread until its waker is used or the deadline, which is by the real clock, has passed.
pub(crate) fn park(deadline: Deadline) -> Wake {
    assert!(
        !IS_WAKING.get(),
        "a waker that is called by a worker waits: no task of the worker could run meanwhile"
    );
    let Some(parker) = parker() else {
        // In the thread's last moments nobody can wake it: look again soon.
        let nap = remaining(deadline).map_or(NAP, |left| left.min(NAP));
        #[expect(
            clippy::disallowed_methods,
            reason = "a plain thread, and no parker is left"
        )]
        std::thread::sleep(nap);
        return if remaining(deadline) == Some(Duration::ZERO) {
            Wake::TimedOut
        } else {
            Wake::Woken
        };
    };
    let mut is_woken = parker
        .is_woken
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    while !*is_woken {
        let Some(left) = remaining(deadline) else {
            is_woken = parker
                .condvar
                .wait(is_woken)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        if left.is_zero() {
            return Wake::TimedOut;
        }
        let waited = parker.condvar.wait_timeout(is_woken, left);
        is_woken = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    *is_woken = false;
    Wake::Woken
}
