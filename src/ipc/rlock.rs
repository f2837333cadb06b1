//! A lock between processes that its holder may take again.

use std::sync::Arc;
use std::sync::{Mutex as StdMutex, MutexGuard as StdGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sync::owner::Owner;

use super::broker::Handle;
use super::error::Disconnected;
use super::lock::{Lock, LockGuard};

/// A [`Lock`] that the task or thread that has it may acquire again: Python's `multiprocessing.RLock`.
///
/// It must be released as often. A generator or greenlet inside a task counts as that task.
#[derive(Clone, Debug)]
pub struct RLock {
    lock: Lock,
    /// Who of this process has it, and how often.
    own: Arc<StdMutex<Own>>,
}

#[derive(Debug, Default)]
struct Own {
    holder: Option<Owner>,
    depth: usize,
}

/// The right that an [`RLock`] gives, once.
///
/// It stays with its task or thread, whose right it is.
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct RLockGuard<'a> {
    lock: &'a RLock,
    is_abandoned: bool,
    stays: std::marker::PhantomData<*const ()>,
}

impl RLock {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        RLock::over(Lock::from_manager(handle))
    }

    /// Makes a lock.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: a service begins"
    )]
    pub fn new() -> Self {
        RLock::over(Lock::new())
    }

    fn over(lock: Lock) -> Self {
        RLock {
            // The holder is this process, by whichever of its handles.
            own: lock.handle().known(),
            lock,
        }
    }

    fn own(&self) -> StdGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the lock, unless the caller has it.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    ///
    /// # Cancellation
    ///
    /// As [`Lock::acquire`].
    ///
    /// # Parks
    ///
    /// As [`Lock::acquire`], while another has it.
    #[track_caller]
    pub fn acquire(&self) -> Result<RLockGuard<'_>, Disconnected> {
        match self.again() {
            Some(guard) => Ok(guard),
            None => Ok(self.first(self.lock.acquire()?)),
        }
    }

    /// As [`acquire`](Self::acquire), but `None` when another has it.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Option<RLockGuard<'_>>, Disconnected> {
        match self.again() {
            Some(guard) => Ok(Some(guard)),
            None => Ok(self.lock.try_acquire()?.map(|guard| self.first(guard))),
        }
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
    ) -> Result<Option<RLockGuard<'_>>, Disconnected> {
        match self.again() {
            Some(guard) => Ok(Some(guard)),
            None => Ok(self
                .lock
                .acquire_timeout(timeout)?
                .map(|guard| self.first(guard))),
        }
    }

    /// One more, for who has it.
    fn again(&self) -> Option<RLockGuard<'_>> {
        let mut own = self.own();
        if own.holder != Some(Owner::current()) {
            return None;
        }
        own.depth += 1;
        Some(self.guard(false))
    }

    fn first(&self, guard: LockGuard<'_>) -> RLockGuard<'_> {
        let is_abandoned = guard.is_abandoned();
        guard.keep();
        let mut own = self.own();
        own.holder = Some(Owner::current());
        own.depth = 1;
        drop(own);
        self.guard(is_abandoned)
    }

    fn guard(&self, is_abandoned: bool) -> RLockGuard<'_> {
        RLockGuard {
            lock: self,
            is_abandoned,
            stays: std::marker::PhantomData,
        }
    }
}

impl RLockGuard<'_> {
    /// Whether the holder before died with it; told to the first acquisition alone.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }
}

impl Drop for RLockGuard<'_> {
    fn drop(&mut self) {
        let mut own = self.lock.own();
        own.depth -= 1;
        if own.depth > 0 {
            return;
        }
        own.holder = None;
        drop(own);
        // It may wait for room on its way to the process that serves the lock.
        self.lock.lock.release();
    }
}

impl Serialize for RLock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.lock.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RLock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Lock::deserialize(deserializer).map(RLock::over)
    }
}
