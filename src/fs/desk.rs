//! A job whose outcome is kept, should the task that began it be gone before it has ended.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::blocking::unblock;
use crate::sync::Event;

/// A job that was begun, and has perhaps ended.
pub(super) struct Begun<T>(Arc<Desk<T>>);

struct Desk<T> {
    has_ended: Event,
    /// There once it has ended, until it is taken.
    outcome: Mutex<Option<T>>,
}

/// Held by the job; dropped at its end, whatever that is.
struct Ends<T>(Arc<Desk<T>>);

impl<T> Drop for Ends<T> {
    fn drop(&mut self) {
        self.0.has_ended.set();
    }
}

impl<T: Send + 'static> Begun<T> {
    /// Nothing runs yet: [`run`](Self::run) it, after it was put where it is found again.
    pub(super) fn new() -> Self {
        Begun(Arc::new(Desk {
            has_ended: Event::new(),
            outcome: Mutex::new(None),
        }))
    }

    /// Has `job` run, and waits until it has ended. If this unwinds, [`wait`](Self::wait) for it later.
    #[track_caller]
    pub(super) fn run(&self, job: impl FnOnce() -> T + Send + 'static) {
        let ends = Ends(self.0.clone());
        unblock(move || {
            let outcome = job();
            *ends
                .0
                .outcome
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            drop(ends);
        });
    }

    /// Waits until the job has ended.
    #[track_caller]
    pub(super) fn wait(&self) {
        self.0.has_ended.wait();
    }

    /// What the job came to, once it has ended. `None`: it could not run.
    pub(super) fn take(self) -> Option<T> {
        let mut outcome = self
            .0
            .outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        outcome.take()
    }
}

impl<T> fmt::Debug for Begun<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun")
            .field("has_ended", &self.0.has_ended.is_set())
            .finish()
    }
}
