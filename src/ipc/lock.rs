//! Locks and conditions between processes.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::io::Limit;

use super::broker::{Answer, Call, Gone, Handle, LockMachine as Machine, UNSENT};
use super::error::Disconnected;
use super::parcel::Passed;
use super::place::Place;
use super::word::{LAST_CLIENT, Left, Word};

/// Mutual exclusion between processes, and between the tasks and threads of each: Python's
/// `multiprocessing.Lock`.
///
/// While nobody waits for it, it is taken and given back in shared memory, in some ten nanoseconds. The process that
/// made it serves those who wait, in the order in which they came. One that is awake may take the lock before one
/// that is being woken, three times at most. A process that dies while it holds the lock lets go of it; the next one is
/// told: [`LockGuard::is_abandoned`].
///
/// # Examples
///
/// ```
/// use greenloom::ipc::Lock;
/// use greenloom::process::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = Lock::new();
/// let guard = lock.acquire()?;
/// let child = Process::spawn(|lock: Lock| lock.try_acquire().unwrap().is_none(), lock.clone())?;
/// assert!(child.join()?, "it is held here");
/// drop(guard);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Lock {
    core: Arc<Core>,
}

/// A lock as a process knows it.
struct Core {
    handle: Handle,
    /// `None` where there is no shared memory, in another process than the one that serves: all goes by calls.
    place: Option<Arc<Place>>,
    /// The number of this process in the word; 0 until it is asked for.
    me: AtomicU32,
}

/// The right that a [`Lock`] gives; it is given back when this is dropped.
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct LockGuard<'a> {
    core: &'a Core,
    is_held: bool,
    is_abandoned: bool,
}

impl Lock {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        Lock::over(handle, None)
    }

    /// Makes a lock. It takes a descriptor, if there is one.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: a service begins"
    )]
    pub fn new() -> Self {
        let place = Arc::new(Place::new());
        let handle = Handle::new(Machine::new(place.clone()));
        Lock::over(handle, Some(place))
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.core.handle
    }

    fn over(handle: Handle, place: Option<Arc<Place>>) -> Self {
        Lock {
            core: Arc::new(Core {
                handle,
                place,
                me: AtomicU32::new(0),
            }),
        }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// [`Disconnected`]: it had to ask the process that serves the lock, which is gone. A lock that is free can be had
    /// without it.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the turn goes to the next.
    ///
    /// # Parks
    ///
    /// While somebody else has it (`sync.event`, `ipc.recv`), after a look or two. Who acquires it twice waits for
    /// himself: see [`RLock`](crate::ipc::RLock).
    #[track_caller]
    #[inline]
    pub fn acquire(&self) -> Result<LockGuard<'_>, Disconnected> {
        // Without a limit nobody is late, but at a broken process.
        let held = self.core.acquire(Limit::Never)?;
        held.map(|is_abandoned| self.guard(is_abandoned))
            .ok_or_else(|| Gone.into())
    }

    /// As [`acquire`](Self::acquire), but `None` when somebody has it.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Option<LockGuard<'_>>, Disconnected> {
        let held = match self.core.word()? {
            Some((word, me)) => word.take(me),
            None => self.core.ask(Call::plain(Machine::TRY), Limit::Never)?,
        };
        Ok(held.map(|is_abandoned| self.guard(is_abandoned)))
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
    ) -> Result<Option<LockGuard<'_>>, Disconnected> {
        let held = self.core.acquire(Limit::Within(timeout))?;
        Ok(held.map(|is_abandoned| self.guard(is_abandoned)))
    }

    /// Gives back what a guard was made to [keep](LockGuard::keep).
    pub(super) fn release(&self) {
        self.core.release();
    }

    #[inline]
    fn guard(&self, is_abandoned: bool) -> LockGuard<'_> {
        LockGuard {
            core: &self.core,
            is_held: true,
            is_abandoned,
        }
    }
}

impl Core {
    /// Where the lock is taken without asking, and as whom; `None` where it is not.
    #[track_caller]
    #[inline]
    fn word(&self) -> Result<Option<(Word<'_>, u32)>, Gone> {
        let Some(place) = &self.place else {
            return Ok(None);
        };
        // Relaxed: it is always the same number.
        let me = match self.me.load(Ordering::Relaxed) {
            0 => self.introduce()?,
            me => me,
        };
        Ok(Some((place.word(), me)))
    }

    #[cold]
    #[track_caller]
    fn introduce(&self) -> Result<u32, Gone> {
        let number = u32::try_from(self.handle.client()?).map_err(|_| Gone)?;
        if number > LAST_CLIENT {
            return Err(Gone);
        }
        self.me.store(number, Ordering::Relaxed);
        Ok(number)
    }

    /// Whether a holder before died with it; `None` when the time is over first.
    #[track_caller]
    #[inline]
    fn acquire(&self, limit: Limit) -> Result<Option<bool>, Gone> {
        match self.word()? {
            Some((word, me)) => match word.take(me) {
                None => self.contend(word, me, limit),
                held => Ok(held),
            },
            None => self.ask(Call::plain(Machine::ACQUIRE), limit),
        }
    }

    #[cold]
    #[track_caller]
    fn contend(&self, word: Word<'_>, me: u32, limit: Limit) -> Result<Option<bool>, Gone> {
        let limit = limit.fixed();
        let mut held = word.take_soon(me, false);
        let mut debt = Debt {
            core: self,
            is_due: false,
        };
        let mut times = 0;
        while held.is_none() {
            let call = Call::number(Machine::CONTEND, times);
            let answer = self.handle.call_in_time(call, limit)?;
            match answer.what {
                Machine::SENT_FOR => debt.is_due = true,
                // What is owed is owed still.
                UNSENT => return Ok(None),
                _ => {
                    debt.is_due = false;
                    return Ok(held_by(&answer));
                }
            }
            times += 1;
            held = word.take_soon(me, true);
        }
        debt.is_due = false;
        Ok(held)
    }

    #[track_caller]
    fn ask(&self, call: Call, limit: Limit) -> Result<Option<bool>, Gone> {
        Ok(held_by(&self.handle.call_in_time(call, limit)?))
    }

    #[inline]
    fn release(&self) {
        let left = match &self.place {
            Some(place) => place.word().release(self.me.load(Ordering::Relaxed)),
            None => Left::HandOver,
        };
        match left {
            Left::Nothing => {}
            Left::Send => self.post(Machine::SEND),
            Left::HandOver => self.post(Machine::RELEASE),
        }
    }

    #[cold]
    fn post(&self, what: u8) {
        // Without the process that serves it there is nobody to be told.
        let _ = self.handle.post(Call::plain(what));
    }
}

/// Whether a holder before died with it; `None` of an answer that does not give the lock.
fn held_by(answer: &Answer) -> Option<bool> {
    (answer.what == Machine::HELD).then(|| answer.as_number() != 0)
}

/// One was sent for, and has to take the lock or to say that he does not.
struct Debt<'a> {
    core: &'a Core,
    is_due: bool,
}

impl Drop for Debt<'_> {
    fn drop(&mut self) {
        // The question was not sent: the time was over, or this unwinds.
        if self.is_due {
            self.core.post(Machine::SEND);
        }
    }
}

impl LockGuard<'_> {
    /// Whether the holder before died with it: what the lock protects may be half done.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Leaves the lock held, for `Lock::release`.
    pub(super) fn keep(mut self) {
        self.is_held = false;
    }

    /// Lets go of the lock, waits to be notified, and has it again when it returns. If this unwinds or fails, it has
    /// not.
    #[track_caller]
    pub(super) fn sleep(&mut self, limit: Limit) -> Result<Answer, Gone> {
        // If this unwinds, the lock is given back by the wait.
        self.is_held = false;
        let call = Call::plain(Machine::SLEEP);
        let answer = self.core.handle.call(call, limit)?;
        self.is_held = true;
        self.is_abandoned |= answer.as_number() != 0;
        Ok(answer)
    }

    /// How many there were to be woken.
    #[track_caller]
    pub(super) fn notify(&self, count: usize) -> Result<usize, Gone> {
        let call = Call::number(Machine::NOTIFY, count as u64);
        let answer = self.core.handle.call(call, Limit::Never)?;
        Ok(answer.as_number() as usize)
    }
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_held {
            self.core.release();
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lock").field(&self.core).finish()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("handle", &self.handle)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Serialize for Lock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.core.place.as_deref();
        let file = place.and_then(Place::file).map(Handed);
        (&self.core.handle, file).serialize(serializer)
    }
}

struct Handed<T>(T);

impl<T: AsFd> Serialize for Handed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Passed::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Lock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let (handle, file) = <(Handle, Option<Passed>)>::deserialize(deserializer)?;
        let place = file.map(|Passed(file)| Place::open(file)).transpose();
        let place = place.map_err(D::Error::custom)?;
        Ok(Lock::over(handle, place.map(Arc::new)))
    }
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
