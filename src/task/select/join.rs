//! The end of a task as an arm.

use std::fmt;
use std::ptr;

use crate::scheduler::park;

use super::super::claim::Stake;
use super::super::join::{JoinError, JoinHandle};
use super::engine::{Operation, Stand, Stood};

/// An arm that joins a task. When it is not chosen the handle is as it was.
///
/// # Panics
///
/// The select does when the handle has given its outcome before.
pub fn join<T>(handle: &mut JoinHandle<T>) -> JoinArm<'_, T> {
    JoinArm {
        handle,
        outcome: None,
    }
}

/// Made by [`join`].
#[derive(Debug)]
pub struct JoinArm<'a, T> {
    handle: &'a mut JoinHandle<T>,
    outcome: Option<Result<T, JoinError>>,
}

impl<T> JoinArm<'_, T> {
    /// How the task ended, when this arm was chosen; once.
    pub fn take(&mut self) -> Option<Result<T, JoinError>> {
        self.outcome.take()
    }
}

impl<T> JoinArm<'_, T> {
    fn end(&mut self, stake: Stake) -> Stood {
        if !stake.close() {
            return Stood::Gone;
        }
        self.settle();
        Stood::Done
    }
}

impl<T> Operation for JoinArm<'_, T> {
    type Output = Result<T, JoinError>;

    fn take(&mut self) -> Option<Self::Output> {
        self.outcome.take()
    }
}

impl<T> Stand for JoinArm<'_, T> {
    fn place(&self) -> usize {
        // It has no latch.
        ptr::from_ref(&*self.handle).addr()
    }

    fn attempt(&mut self) -> bool {
        if self.outcome.is_some() || !self.handle.is_over() {
            return false;
        }
        self.settle();
        true
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        if self.outcome.is_some() {
            return Stood::Seated;
        }
        if !self.handle.announce(park::current_waker()) {
            return Stood::Seated;
        }
        self.end(stake)
    }

    fn look(&mut self, stake: Stake) -> Stood {
        if self.outcome.is_some() || !self.handle.is_over() {
            return Stood::Seated;
        }
        self.end(stake)
    }

    fn settle(&mut self) {
        self.outcome = Some(self.handle.outcome());
    }

    fn leave(&mut self) {
        self.handle.retract();
    }

    fn abandon(&mut self) {
        self.handle.retract();
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the end of task {}", self.handle.id())
    }
}

impl<T> JoinHandle<T> {
    /// For `select!`, which has a handle or a reference to one.
    #[doc(hidden)]
    pub fn join_arm(&mut self) -> JoinArm<'_, T> {
        join(self)
    }
}
