//! A value that one task or thread at a time may touch.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park;

use super::kind::Kind;
use super::poison::{Poison, Taken, checked};
use super::raw_mutex::RawMutex;

/// Mutual exclusion round a value: [`std::sync::Mutex`], but a green thread that waits for it lets the
/// others on its worker run.
///
/// It works between green threads of any worker and runtime and plain OS threads, in any mix. Its guard may
/// be held over a wait. Locking and unlocking it when nobody else wants it costs two atomic operations,
/// none if one thread alone has used it for some time, and never allocates.
///
/// Waiters get it in the order in which they came. Until the first of them, once woken, has had a look,
/// someone who runs already may take the lock in passing; this happens to a waiter once, then the lock is
/// handed to it.
///
/// # Poisoning
///
/// As std's: a panic that unwinds the holder's guard poisons the mutex. A cancellation or a
/// [`timeout`](crate::timeout) that unwinds it does not: the value is as the destructors left it.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use greenloom::sync::Mutex;
///
/// # greenloom::run(|| {
/// let sum = Arc::new(Mutex::new(0));
/// let tasks: Vec<_> = (1..=10)
///     .map(|n| {
///         let sum = sum.clone();
///         greenloom::spawn(move || *sum.lock().unwrap() += n)
///     })
///     .collect();
/// tasks.into_iter().for_each(|task| task.join().unwrap());
/// assert_eq!(*sum.lock().unwrap(), 55);
/// # });
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Poison,
    /// Touched by the holder of `raw` only, through its guard.
    value: UnsafeCell<T>,
}

// SAFETY: sending the mutex sends its value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: `raw` lets one guard exist at a time, so sharing the mutex hands the value from thread to thread,
// which is sending it; no two threads have references to it at once.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// As std's: a panic inside is told by the poison.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// The right to the value of a locked [`Mutex`]; unlocks it when dropped.
///
/// It may be held over a wait, but not be sent to another thread:
///
/// ```compile_fail,E0277
/// static MUTEX: greenloom::sync::Mutex<()> = greenloom::sync::Mutex::new(());
/// let guard = MUTEX.lock().unwrap();
/// greenloom::spawn(move || drop(guard));
/// ```
#[must_use = "the mutex is unlocked when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized + 'a> {
    mutex: &'a Mutex<T>,
    taken: Taken,
    /// As std's guard, this one stays on its thread.
    stays: PhantomData<*const ()>,
}

// SAFETY: `&MutexGuard` gives `&T` and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

/// Why [`Mutex::lock_timeout`] gave no clean guard.
#[non_exhaustive]
pub enum LockTimeoutError<G> {
    /// The lock was had, and a holder before had panicked; the guard is inside.
    Poisoned(PoisonError<G>),
    /// The time was over first.
    TimedOut,
}

impl<T> Mutex<T> {
    /// Makes an unlocked mutex; also for statics.
    ///
    /// # Examples
    ///
    /// ```
    /// static VISITS: greenloom::sync::Mutex<u32> = greenloom::sync::Mutex::new(0);
    /// *VISITS.lock().unwrap() += 1;
    /// ```
    #[inline]
    pub const fn new(value: T) -> Self {
        Mutex {
            raw: RawMutex::new(),
            poison: Poison::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the mutex apart.
    ///
    /// # Errors
    ///
    /// When it is poisoned; the value is inside the error.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(greenloom::sync::Mutex::new(7).into_inner().unwrap(), 7);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let is_poisoned = self.is_poisoned();
        checked(is_poisoned, self.value.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// When a holder before has panicked; the guard is inside the error.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the turn goes to the next in line. A lock that is free is taken without a
    /// look at cancellation.
    ///
    /// # Parks
    ///
    /// While somebody else holds the lock (`sync.mutex`). A task that locks twice waits for itself, which
    /// the deadlock report will show: it names the holder, and the line where it has locked.
    ///
    /// # Examples
    ///
    /// ```
    /// let mutex = greenloom::sync::Mutex::new(vec![1]);
    /// mutex.lock().unwrap().push(2);
    /// assert_eq!(*mutex.lock().unwrap(), [1, 2]);
    /// ```
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock(Deadline::NEVER, Self::kind);
        self.guard()
    }

    /// Locks if that is possible at once. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] when somebody holds it; `Poisoned`, with the guard inside, as for
    /// [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let mutex = greenloom::sync::Mutex::new(());
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// # drop(guard);
    /// ```
    #[track_caller]
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.try_lock() {
            Ok(self.guard()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Locks, waiting no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`LockTimeoutError`]. A waiter whose turn comes at the very deadline has the lock.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Parks
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::sync::Mutex;
    ///
    /// let mutex = Mutex::new(0);
    /// let guard = mutex.lock().unwrap();
    /// assert!(mutex.lock_timeout(Duration::from_millis(1)).is_err());
    /// drop(guard);
    /// *mutex.lock_timeout(Duration::from_millis(1)).unwrap() += 1;
    /// ```
    #[track_caller]
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<MutexGuard<'_, T>, LockTimeoutError<MutexGuard<'_, T>>> {
        let has_lock = self.raw.try_lock()
            || (!timeout.is_zero() && self.raw.lock(park::deadline(timeout), Self::kind));
        if has_lock {
            self.guard().map_err(LockTimeoutError::Poisoned)
        } else {
            Err(LockTimeoutError::TimedOut)
        }
    }

    #[inline]
    fn kind() -> Kind {
        Kind::of::<T>("sync.mutex", "a Mutex")
    }

    /// Called with the lock just taken.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard {
            mutex: self,
            taken: Taken::now(),
            stays: PhantomData,
        };
        self.poison.check(guard)
    }

    /// Whether a holder has panicked, and nobody has cleared that since.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Forgets that a holder has panicked: the value has been put right.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::sync::Mutex;
    ///
    /// let mutex = Mutex::new(1);
    /// let _ = std::panic::catch_unwind(|| {
    ///     let _guard = mutex.lock().unwrap();
    ///     panic!("half done");
    /// });
    /// let guard = mutex.lock().unwrap_err().into_inner();
    /// mutex.clear_poison();
    /// drop(guard);
    /// assert!(mutex.lock().is_ok());
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: `&mut self` proves that nobody else is there.
    ///
    /// # Errors
    ///
    /// When the mutex is poisoned; the reference is inside the error.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut mutex = greenloom::sync::Mutex::new(1);
    /// *mutex.get_mut().unwrap() = 2;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let is_poisoned = self.is_poisoned();
        checked(is_poisoned, self.value.get_mut())
    }
}

/// A mutex that its holder has left for the length of a wait.
pub(super) struct Released<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    taken: Taken,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Unlocks without a look at panics: the holder means to come back.
    pub(super) fn release(self) -> Released<'a, T> {
        let this = ManuallyDrop::new(self);
        this.mutex.raw.unlock();
        Released {
            mutex: this.mutex,
            taken: this.taken,
        }
    }
}

impl<'a, T: ?Sized> Released<'a, T> {
    /// Unwinds when the task is cancelled while somebody else has the lock.
    #[track_caller]
    pub(super) fn relock(self) -> LockResult<MutexGuard<'a, T>> {
        self.mutex.raw.lock(Deadline::NEVER, Mutex::<T>::kind);
        self.mutex.poison.check(MutexGuard {
            mutex: self.mutex,
            taken: self.taken,
            stays: PhantomData,
        })
    }

    pub(super) fn kind(&self) -> Kind {
        Mutex::<T>::kind()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock, so nobody else touches the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` keeps this guard's other borrows away.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.leave(self.taken);
        self.mutex.raw.unlock();
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => debug.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => debug.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => debug.field("data", &format_args!("<locked>")),
        };
        debug
            .field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<G> LockTimeoutError<G> {
    /// Whether the time was over.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, LockTimeoutError::TimedOut)
    }
}

impl<G> fmt::Debug for LockTimeoutError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockTimeoutError::Poisoned(_) => "Poisoned(..)",
            LockTimeoutError::TimedOut => "TimedOut",
        })
    }
}

impl<G> fmt::Display for LockTimeoutError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockTimeoutError::Poisoned(_) => "poisoned lock: a holder before has panicked",
            LockTimeoutError::TimedOut => "the time for locking was over",
        })
    }
}

impl<G> std::error::Error for LockTimeoutError<G> {}
