//! Events and barriers between processes.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::io::Limit;
use crate::scheduler::park;

use super::broker::{BarrierMachine, Call, EventMachine, Handle};
use super::error::Disconnected;

/// A flag that processes share, and for which they wait: Python's `multiprocessing.Event`.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::Event;
/// use greenloom::process::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let go = Event::new();
/// let child = Process::spawn(|go: Event| go.wait().unwrap(), go.clone())?;
/// go.set()?;
/// child.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    handle: Handle,
}

impl Event {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        Event { handle }
    }

    /// Makes an event that is not set.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: a service begins"
    )]
    pub fn new() -> Self {
        Event {
            handle: Handle::new(EventMachine::default()),
        }
    }

    /// Whether it was so, now or in time.
    #[track_caller]
    fn call(&self, what: u8, limit: Limit) -> Result<bool, Disconnected> {
        let answer = self.handle.call_in_time(Call::plain(what), limit)?;
        Ok(answer.what == EventMachine::DONE)
    }

    /// Sets it: all who wait go on, in every process.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn set(&self) -> Result<(), Disconnected> {
        self.call(EventMachine::SET, Limit::Never).map(drop)
    }

    /// Takes it back: from now on one waits again.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn clear(&self) -> Result<(), Disconnected> {
        self.call(EventMachine::CLEAR, Limit::Never).map(drop)
    }

    /// Whether it is set.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn is_set(&self) -> Result<bool, Disconnected> {
        self.call(EventMachine::LOOK, Limit::Never)
    }

    /// Waits until it is set.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    ///
    /// # Parks
    ///
    /// Until then (`sync.event`, `ipc.recv`).
    #[track_caller]
    pub fn wait(&self) -> Result<(), Disconnected> {
        self.call(EventMachine::WAIT, Limit::Never).map(drop)
    }

    /// As [`wait`](Self::wait), for no longer than `timeout`; whether it was set.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Disconnected> {
        self.call(EventMachine::WAIT, Limit::At(park::deadline(timeout)))
    }
}

/// A place where a number of parties wait for one another, in whatever processes: Python's
/// `multiprocessing.Barrier`.
///
/// A party that gives up, or dies, while it waits, breaks the barrier for all: nobody waits for one who will not
/// come. [`reset`](Self::reset) makes it whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Barrier {
    handle: Handle,
    parties: usize,
}

/// Why a wait at a [`Barrier`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarrierError {
    /// It is broken, or was while this one waited.
    Broken,
    /// The process that serves it is gone.
    Disconnected,
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BarrierError::Broken => "the barrier is broken: a party has left it",
            BarrierError::Disconnected => "the process that serves the barrier is gone",
        })
    }
}

impl std::error::Error for BarrierError {}

impl Barrier {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle, parties: usize) -> Self {
        Barrier { handle, parties }
    }

    /// Makes a barrier for so many parties.
    ///
    /// # Panics
    ///
    /// When there are none.
    #[track_caller]
    pub fn new(parties: usize) -> Self {
        assert!(parties > 0, "an ipc::Barrier for nobody");
        Barrier {
            handle: Handle::new(BarrierMachine::new(parties)),
            parties,
        }
    }

    /// Waits until all parties have come; says how many had come before this one, so that one of them, with 0, can
    /// do what is to be done once.
    ///
    /// # Errors
    ///
    /// [`BarrierError`].
    ///
    /// # Cancellation
    ///
    /// Unwinds, and breaks the barrier.
    ///
    /// # Parks
    ///
    /// Until then (`sync.event`, `ipc.recv`).
    #[track_caller]
    pub fn wait(&self) -> Result<usize, BarrierError> {
        self.wait_within(Limit::Never)
    }

    /// As [`wait`](Self::wait), for no longer than `timeout`: then it is broken for all.
    ///
    /// # Errors
    ///
    /// [`BarrierError`].
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<usize, BarrierError> {
        self.wait_within(Limit::At(park::deadline(timeout)))
    }

    #[track_caller]
    fn wait_within(&self, limit: Limit) -> Result<usize, BarrierError> {
        let answer = self.handle.call(Call::plain(BarrierMachine::WAIT), limit);
        let answer = answer.map_err(|_| BarrierError::Disconnected)?;
        match answer.what {
            BarrierMachine::TOGETHER => Ok(answer.as_number() as usize),
            _ => Err(BarrierError::Broken),
        }
    }

    /// Breaks it: those who wait, and who come, get errors.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn abort(&self) -> Result<(), Disconnected> {
        self.handle
            .call(Call::plain(BarrierMachine::ABORT), Limit::Never)?;
        Ok(())
    }

    /// Makes it as new. Those who wait get errors.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn reset(&self) -> Result<(), Disconnected> {
        self.handle
            .call(Call::plain(BarrierMachine::RESET), Limit::Never)?;
        Ok(())
    }

    /// How many parties it is for.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many wait now; none at a broken one.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn n_waiting(&self) -> Result<usize, Disconnected> {
        let answer = self
            .handle
            .call(Call::plain(BarrierMachine::LOOK), Limit::Never)?;
        Ok(answer.as_number() as usize)
    }

    /// Whether it is broken.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn is_broken(&self) -> Result<bool, Disconnected> {
        let answer = self
            .handle
            .call(Call::plain(BarrierMachine::LOOK), Limit::Never)?;
        Ok(answer.what == BarrierMachine::BROKEN)
    }
}
