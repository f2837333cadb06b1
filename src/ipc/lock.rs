//! Locks and conditions between processes.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::io::Limit;
use crate::scheduler::park;
use crate::sync::owner::Owner;

use super::broker::{Answer, Call, Handle, LockMachine as Machine, UNSENT};
use super::error::Disconnected;

/// Mutual exclusion between processes, and between the tasks and threads of each: Python's
/// `multiprocessing.Lock`.
///
/// The process that made it serves it. Waiters have it in the order in which they came. A process that dies while
/// it holds the lock lets go of it; the next one is told: [`LockGuard::is_abandoned`].
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lock {
    handle: Handle,
}

/// The right that a [`Lock`] or an [`RLock`] gives; it is given back when this is dropped.
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct LockGuard {
    handle: Handle,
    is_held: bool,
    is_abandoned: bool,
}

impl Lock {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        Lock { handle }
    }

    /// Makes a lock.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: a service begins"
    )]
    pub fn new() -> Self {
        Lock {
            handle: Handle::new(Machine::default()),
        }
    }

    /// Waits for the lock.
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
    /// While somebody else has it (`sync.event`, `ipc.recv`). Who acquires it twice waits for himself: see
    /// [`RLock`].
    #[track_caller]
    pub fn acquire(&self) -> Result<LockGuard, Disconnected> {
        loop {
            // Without a limit there is no being late.
            if let Some(guard) = self.acquire_as(Machine::ACQUIRE, Limit::Never)? {
                return Ok(guard);
            }
        }
    }

    /// As [`acquire`](Self::acquire), but `None` when somebody has it.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Option<LockGuard>, Disconnected> {
        self.acquire_as(Machine::TRY, Limit::Never)
    }

    /// As [`acquire`](Self::acquire), but `None` when it has not been had within `timeout`.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>, Disconnected> {
        self.acquire_as(Machine::ACQUIRE, Limit::At(park::deadline(timeout)))
    }

    #[track_caller]
    fn acquire_as(&self, what: u8, limit: Limit) -> Result<Option<LockGuard>, Disconnected> {
        let answer = self.handle.call(Call::plain(what), limit)?;
        Ok(LockGuard::of(&self.handle, &answer))
    }
}

impl LockGuard {
    fn of(handle: &Handle, answer: &Answer) -> Option<LockGuard> {
        (answer.what != Machine::LATE && answer.what != UNSENT).then(|| LockGuard {
            handle: handle.clone(),
            is_held: true,
            is_abandoned: answer.as_number() != 0,
        })
    }

    /// Whether the holder before died with it: what the lock protects may be half done.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.is_held {
            // Without the process that served it there is nothing to be released.
            let _ = self.handle.post(Call::plain(Machine::RELEASE));
        }
    }
}

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
    /// Of the first acquisition.
    guard: Option<LockGuard>,
}

/// The right that an [`RLock`] gives, once.
///
/// It stays with its task or thread, whose right it is.
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct RLockGuard {
    own: Arc<StdMutex<Own>>,
    is_abandoned: bool,
    stays: std::marker::PhantomData<*const ()>,
}

impl RLock {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        RLock::over(Lock { handle })
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
            lock,
            own: Arc::default(),
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
    pub fn acquire(&self) -> Result<RLockGuard, Disconnected> {
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
    pub fn try_acquire(&self) -> Result<Option<RLockGuard>, Disconnected> {
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
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<RLockGuard>, Disconnected> {
        match self.again() {
            Some(guard) => Ok(Some(guard)),
            None => Ok(self
                .lock
                .acquire_timeout(timeout)?
                .map(|guard| self.first(guard))),
        }
    }

    /// One more, for who has it.
    fn again(&self) -> Option<RLockGuard> {
        let mut own = self.own();
        if own.holder != Some(Owner::current()) {
            return None;
        }
        own.depth += 1;
        Some(self.guard(false))
    }

    fn first(&self, guard: LockGuard) -> RLockGuard {
        let is_abandoned = guard.is_abandoned();
        let mut own = self.own();
        own.holder = Some(Owner::current());
        own.depth = 1;
        own.guard = Some(guard);
        self.guard(is_abandoned)
    }

    fn guard(&self, is_abandoned: bool) -> RLockGuard {
        RLockGuard {
            own: self.own.clone(),
            is_abandoned,
            stays: std::marker::PhantomData,
        }
    }
}

impl RLockGuard {
    /// Whether the holder before died with it; told to the first acquisition alone.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }
}

impl Drop for RLockGuard {
    fn drop(&mut self) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.depth -= 1;
        if own.depth > 0 {
            return;
        }
        own.holder = None;
        let guard = own.guard.take();
        drop(own);
        // It may wait for room on its way to the process that serves the lock.
        drop(guard);
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
pub struct ConditionGuard {
    guard: LockGuard,
}

impl Condition {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        let lock = Lock { handle };
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
    pub fn acquire(&self) -> Result<ConditionGuard, Disconnected> {
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
    ) -> Result<Option<ConditionGuard>, Disconnected> {
        let guard = self.lock.acquire_timeout(timeout)?;
        Ok(guard.map(|guard| ConditionGuard { guard }))
    }
}

impl ConditionGuard {
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
        // If this unwinds, the lock is given back by the wait.
        self.guard.is_held = false;
        let answer = self.guard.handle.call(Call::plain(Machine::SLEEP), limit)?;
        self.guard.is_held = true;
        self.guard.is_abandoned |= answer.as_number() != 0;
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
        let call = Call::number(Machine::NOTIFY, count as u64);
        Ok(self.guard.handle.call(call, Limit::Never)?.as_number() as usize)
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
        self.guard.is_abandoned
    }
}
