//! What a scope gives for each of its tasks: a way to wait for it, and to end it early.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::header::TaskId;
use crate::scheduler::packet::{Fault, Joiner, Who};
use crate::scheduler::park::{self, Describe};
use crate::task::join::{self, JoinError};
use crate::task::this::Task;
use crate::task::wait::{Joinable, sealed::Sealed};

use super::State;

/// The right to wait for a scoped task and to take its value; dropping it leaves the joining to the scope.
pub struct ScopedJoinHandle<'scope, T> {
    pub(super) joiner: Joiner<T>,
    pub(super) state: Arc<State>,
    pub(super) scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopedJoinHandle")
            .field(&self.joiner)
            .finish()
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// As [`JoinHandle::join`](crate::task::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    #[track_caller]
    pub fn join(mut self) -> Result<T, JoinError> {
        if self.joiner.is_own() {
            return Err(JoinError::Itself);
        }
        self.joiner.wait(Deadline::NEVER);
        self.take()
    }

    fn take(&mut self) -> Result<T, JoinError> {
        let outcome = self
            .joiner
            .take()
            .expect("a task whose end was waited for has an outcome");
        if let Err(Fault::Panicked(_)) = outcome {
            self.state.lock().unjoined_panics -= 1;
        }
        outcome.map_err(JoinError::from)
    }

    /// As [`JoinHandle::cancel_and_join`](crate::task::JoinHandle::cancel_and_join).
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    #[track_caller]
    pub fn cancel_and_join(self) -> Result<T, JoinError> {
        self.cancel();
        self.join()
    }

    /// As [`JoinHandle::end_by`](crate::task::JoinHandle).
    #[track_caller]
    pub(crate) fn end_by(mut self, deadline: Deadline) -> (bool, Result<T, JoinError>) {
        if self.joiner.is_own() {
            return (false, Err(JoinError::Itself));
        }
        let is_late = join::end_by(&mut self.joiner, deadline);
        (is_late, self.take())
    }

    /// As [`JoinHandle::join_timeout`](crate::task::JoinHandle::join_timeout).
    ///
    /// # Errors
    ///
    /// The outer error gives the handle back.
    #[track_caller]
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        if self.joiner.is_own() {
            return Ok(Err(JoinError::Itself));
        }
        if !self.joiner.wait(park::deadline(timeout)) {
            return Err(self);
        }
        Ok(self.take())
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.joiner.is_complete()
    }

    /// Asks the task to end.
    pub fn cancel(&self) {
        self.joiner.cancel();
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        self.joiner.task.id
    }

    /// The task itself.
    pub fn task(&self) -> Task {
        Task::new(self.joiner.task.clone())
    }
}

impl<T> Sealed for ScopedJoinHandle<'_, T> {
    fn announce(&mut self, waker: Waker) -> bool {
        self.joiner.is_own() || self.joiner.announce(waker)
    }

    fn has_ended(&self) -> bool {
        self.joiner.is_own() || self.joiner.is_complete()
    }

    fn has_failed(&mut self) -> bool {
        self.joiner.has_failed()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Who(&self.joiner.task).describe(f)
    }
}

impl<T> Joinable for ScopedJoinHandle<'_, T> {
    type Value = T;

    #[track_caller]
    fn join(self) -> Result<T, JoinError> {
        ScopedJoinHandle::join(self)
    }
}
