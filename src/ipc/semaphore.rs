//! Semaphores between processes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::io::Limit;
use crate::scheduler::park;
use crate::sync::OverRelease;

use super::broker::{Answer, Call, Handle, SemaphoreMachine as Machine};
use super::error::Disconnected;

/// Permits that processes share: Python's `multiprocessing.Semaphore`.
///
/// The process that made it serves it. Waiters are served in the order in which they came. Permits that a guard
/// holds in a process that dies are free again; those of a guard that was [forgotten](Permit::forget) are not.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::Semaphore;
/// use greenloom::process::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let places = Semaphore::new(1);
/// let permit = places.acquire()?;
/// let child = Process::spawn(|places: Semaphore| places.try_acquire().unwrap().is_none(), places.clone())?;
/// assert!(child.join()?);
/// drop(permit);
/// assert_eq!(places.available_permits()?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Semaphore {
    handle: Handle,
}

/// A permit of a [`Semaphore`]; it is given back when this is dropped.
#[must_use = "the permit is released when it is dropped"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct Permit {
    /// `None` once it is forgotten.
    handle: Option<Handle>,
}

impl Permit {
    fn of(handle: &Handle, answer: &Answer) -> Option<Permit> {
        (answer.what == Machine::HELD).then(|| Permit {
            handle: Some(handle.clone()),
        })
    }

    /// Keeps the permit from being released: it is nobody's, until somebody [adds](Semaphore::release) it again.
    pub fn forget(mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = handle.post(Call::number(Machine::FORGET, 1));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            let _ = handle.post(Call::number(Machine::RELEASE, 1));
        }
    }
}

impl Semaphore {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        Semaphore { handle }
    }

    /// Makes a semaphore with so many permits.
    pub fn new(permits: u64) -> Self {
        Semaphore::with_limit(permits, u64::MAX)
    }

    fn with_limit(permits: u64, limit: u64) -> Self {
        Semaphore {
            handle: Handle::new(Machine::new(permits, limit)),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the turn goes to the next.
    ///
    /// # Parks
    ///
    /// While there is none (`sync.event`, `ipc.recv`).
    #[track_caller]
    pub fn acquire(&self) -> Result<Permit, Disconnected> {
        loop {
            // Without a limit there is no being late.
            if let Some(permit) = self.acquire_as(Machine::ACQUIRE, Limit::Never)? {
                return Ok(permit);
            }
        }
    }

    /// As [`acquire`](Self::acquire), but `None` when there is none now.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Option<Permit>, Disconnected> {
        self.acquire_as(Machine::TRY, Limit::Never)
    }

    /// As [`acquire`](Self::acquire), but `None` when there was none within `timeout`.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<Permit>, Disconnected> {
        self.acquire_as(Machine::ACQUIRE, Limit::At(park::deadline(timeout)))
    }

    #[track_caller]
    fn acquire_as(&self, what: u8, limit: Limit) -> Result<Option<Permit>, Disconnected> {
        let answer = self.handle.call_in_time(Call::number(what, 1), limit)?;
        Ok(Permit::of(&self.handle, &answer))
    }

    /// Adds permits, whether or not they were acquired before.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn release(&self, permits: u64) -> Result<(), Disconnected> {
        self.add(permits).map(drop)
    }

    /// False when there would be too many.
    #[track_caller]
    fn add(&self, permits: u64) -> Result<bool, Disconnected> {
        let call = Call::number(Machine::ADD, permits);
        Ok(self.handle.call(call, Limit::Never)?.what == Machine::DONE)
    }

    /// How many permits nobody has.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn available_permits(&self) -> Result<u64, Disconnected> {
        let answer = self.handle.call(Call::plain(Machine::LOOK), Limit::Never)?;
        Ok(answer.as_number())
    }
}

/// A [`Semaphore`] that notices when more is released than was acquired: Python's
/// `multiprocessing.BoundedSemaphore`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BoundedSemaphore {
    inner: Semaphore,
}

impl BoundedSemaphore {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        let inner = Semaphore { handle };
        BoundedSemaphore { inner }
    }

    /// Makes a semaphore that never has more than these permits.
    pub fn new(permits: u64) -> Self {
        BoundedSemaphore {
            inner: Semaphore::with_limit(permits, permits),
        }
    }

    /// As [`Semaphore::acquire`].
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn acquire(&self) -> Result<Permit, Disconnected> {
        self.inner.acquire()
    }

    /// As [`Semaphore::try_acquire`].
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Option<Permit>, Disconnected> {
        self.inner.try_acquire()
    }

    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<Permit>, Disconnected> {
        self.inner.acquire_timeout(timeout)
    }

    /// As [`Semaphore::available_permits`].
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn available_permits(&self) -> Result<u64, Disconnected> {
        self.inner.available_permits()
    }

    /// Releases permits that were acquired and [forgotten](Permit::forget).
    ///
    /// # Errors
    ///
    /// The inner error when there would be more than at the beginning: nothing is released then. The outer one is
    /// [`Disconnected`].
    #[track_caller]
    pub fn release(&self, permits: u64) -> Result<Result<(), OverRelease>, Disconnected> {
        Ok(match self.inner.add(permits)? {
            true => Ok(()),
            false => Err(OverRelease::new()),
        })
    }
}
