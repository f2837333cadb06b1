//! A lock between processes under which one waits to be notified.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::io::Limit;
use crate::scheduler::park;

use super::broker::{Handle, LockMachine as Machine};
use super::error::Disconnected;
use super::lock::{Lock, LockGuard};

/// A lock under which one waits to be notified: Python's `multiprocessing.Condition`.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::Condition;
/// use greenloom::process::Process;
///
/// fn wait(ready: Condition) {
///     ready.acquire().unwrap().wait().unwrap();
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ready = Condition::new();
/// let child = Process::spawn(wait, ready.clone())?;
/// while ready.acquire()?.notify_one()? == 0 {
///     greenloom::sleep(std::time::Duration::from_millis(1)); // it does not wait yet
/// }
/// child.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Condition {
    lock: Lock,
}

/// The lock of a [`Condition`], held.
#[must_use = "the lock is released when its guard is dropped"]
#[derive(Debug)]
pub struct ConditionGuard<'a> {
    guard: LockGuard<'a>,
}

impl Condition {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        let lock = Lock::from_manager(handle);
        Condition { lock }
    }

    /// Makes a condition with a lock of its own.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: a service begins"
    )]
    pub fn new() -> Self {
        Condition { lock: Lock::new() }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn acquire(&self) -> Result<ConditionGuard<'_>, Disconnected> {
        self.lock.acquire().map(|guard| ConditionGuard { guard })
    }

    /// As [`acquire`](Self::acquire), but `None` when it has not been had within `timeout`.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<ConditionGuard<'_>>, Disconnected> {
        let guard = self.lock.acquire_timeout(timeout)?;
        Ok(guard.map(|guard| ConditionGuard { guard }))
    }
}

impl ConditionGuard<'_> {
    /// Lets go of the lock, waits to be notified, and has the lock again when it returns.
    ///
    /// # Errors
    ///
    /// [`Disconnected`]; then there is no lock any more.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits, without the lock. A notification that it was given in the same moment is lost.
    ///
    /// # Parks
    ///
    /// Until then (`sync.event`, `ipc.recv`).
    #[track_caller]
    pub fn wait(&mut self) -> Result<(), Disconnected> {
        self.sleep(Limit::Never).map(drop)
    }

    /// As [`wait`](Self::wait), for no longer than `timeout`; whether it was notified.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool, Disconnected> {
        self.sleep(Limit::At(park::deadline(timeout)))
    }

    /// Waits, again and again, while `condition` holds.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while(&mut self, mut condition: impl FnMut() -> bool) -> Result<(), Disconnected> {
        while condition() {
            self.wait()?;
        }
        Ok(())
    }

    #[track_caller]
    fn sleep(&mut self, limit: Limit) -> Result<bool, Disconnected> {
        let answer = self.guard.sleep(limit)?;
        Ok(answer.what == Machine::NOTIFIED)
    }

    /// Wakes the one who has waited longest; how many there were to wake, one or none.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn notify_one(&self) -> Result<usize, Disconnected> {
        self.notify(1)
    }

    /// Wakes the `count` who have waited longest; how many there were to wake.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn notify(&self, count: usize) -> Result<usize, Disconnected> {
        Ok(self.guard.notify(count)?)
    }

    /// Wakes all who wait; how many there were.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn notify_all(&self) -> Result<usize, Disconnected> {
        self.notify(usize::MAX)
    }

    /// Whether a holder before died with the lock.
    pub fn is_abandoned(&self) -> bool {
        self.guard.is_abandoned()
    }
}
