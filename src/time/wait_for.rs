//! Waiting for a task for so long, and ending it then.

use std::time::Duration;

use crate::scheduler::park;
use crate::task::{Expired, JoinError, JoinHandle, ScopedJoinHandle};

use super::timeout::Elapsed;

impl<T> JoinHandle<T> {
    /// As [`join`](JoinHandle::join), but a task that has not ended within `limit` is cancelled, and has
    /// ended, destructors and all, when this returns.
    ///
    /// The limit runs from this call, not from the task's start. A task that comes to its value, or panics, while
    /// it is being cancelled is not late: what it came to is returned. A task that has ended before yields
    /// its value even if the limit is zero. As asyncio's `wait_for` of a task;
    /// [`join_timeout`](JoinHandle::join_timeout) leaves the task alone.
    ///
    /// # Errors
    ///
    /// The outer one: the task was late, and is cancelled. The inner one: [`JoinError`].
    ///
    /// # Cancellation
    ///
    /// Is passed on to the task, and goes on when that has ended.
    ///
    /// # Parks
    ///
    /// Until the task has ended (`task.join`); not at all if it has.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// greenloom::Runtime::builder().virtual_clock().run(|| {
    ///     let eternity = greenloom::spawn(|| greenloom::sleep(Duration::MAX));
    ///     assert!(eternity.wait_for(Duration::from_secs(1)).is_err());
    /// }).unwrap();
    /// ```
    #[track_caller]
    pub fn wait_for(self, limit: Duration) -> Result<Result<T, JoinError>, Elapsed> {
        outcome(self.end_by(park::deadline(limit)))
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// As [`JoinHandle::wait_for`].
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn wait_for(self, limit: Duration) -> Result<Result<T, JoinError>, Elapsed> {
        outcome(self.end_by(park::deadline(limit)))
    }
}

fn outcome<T>(
    (is_late, outcome): (bool, Result<T, JoinError>),
) -> Result<Result<T, JoinError>, Elapsed> {
    match outcome {
        Err(JoinError::Cancelled) if is_late => Err(Expired.into()),
        outcome => Ok(outcome),
    }
}
