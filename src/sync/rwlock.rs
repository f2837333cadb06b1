//! A value that many may read, or one may change.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park;

use super::kind::Kind;
use super::mutex::LockTimeoutError;
use super::poison::{Poison, Taken, checked};
use super::raw_rwlock::{RawRwLock, Want};

/// Many readers or one writer round a value: [`std::sync::RwLock`], but a green thread that waits for it
/// lets the others on its worker run.
///
/// It works between green threads of any worker and runtime and plain OS threads, in any mix. Its guards may
/// be held over a wait.
///
/// # Fairness
///
/// Readers and writers stand in one line, first come first served: readers that come while a writer waits
/// go behind it, so neither side starves the other. Therefore a task that reads and wants to read once
/// more, while it still does, waits for itself if a writer came in between, as with std's.
///
/// # Poisoning
///
/// As std's: a panic that unwinds a write guard poisons the lock; one that unwinds a read guard does not. A
/// cancellation or a [`timeout`](crate::timeout) never does.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use greenloom::sync::RwLock;
///
/// # greenloom::run(|| {
/// let names = Arc::new(RwLock::new(vec!["ada"]));
/// let theirs = names.clone();
/// let writer = greenloom::spawn(move || theirs.write().unwrap().push("grace"));
/// {
///     let first = names.read().unwrap();
///     let second = names.read().unwrap(); // both at once
///     assert_eq!(first[0], second[0]);
/// }
/// writer.join().unwrap();
/// assert_eq!(names.read().unwrap().len(), 2);
/// # });
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Poison,
    /// Read by those who have `raw` for reading, touched otherwise by the one who has it for writing.
    value: UnsafeCell<T>,
}

// SAFETY: sending the lock sends its value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: `raw` keeps writers alone. A write guard on another thread amounts to sending the value there
// (`Send`), read guards on several threads to sharing it (`Sync`).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// As std's: a panic inside is told by the poison.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// The right to read the value of an [`RwLock`]; given back when dropped. Stays on its thread.
///
/// ```compile_fail,E0277
/// static LOCK: greenloom::sync::RwLock<()> = greenloom::sync::RwLock::new(());
/// let guard = LOCK.read().unwrap();
/// greenloom::spawn(move || drop(guard));
/// ```
#[must_use = "the lock is given back when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized + 'a> {
    /// The lock's value. Not a reference to the lock, so that `'a` may shrink inside of `T`, as with std's.
    value: NonNull<T>,
    raw: &'a RawRwLock,
}

/// The right to change the value of an [`RwLock`]; given back when dropped. Stays on its thread.
///
/// ```compile_fail,E0277
/// static LOCK: greenloom::sync::RwLock<()> = greenloom::sync::RwLock::new(());
/// let guard = LOCK.write().unwrap();
/// greenloom::spawn(move || drop(guard));
/// ```
#[must_use = "the lock is given back when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized + 'a> {
    lock: &'a RwLock<T>,
    taken: Taken,
    /// As std's guard, this one stays on its thread.
    stays: PhantomData<*const ()>,
}

// SAFETY: `&RwLockReadGuard` gives `&T` and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: `&RwLockWriteGuard` gives `&T` and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// Makes a lock that nobody holds; also for statics.
    ///
    /// # Examples
    ///
    /// ```
    /// static LIMIT: greenloom::sync::RwLock<u32> = greenloom::sync::RwLock::new(10);
    /// assert_eq!(*LIMIT.read().unwrap(), 10);
    /// ```
    #[inline]
    pub const fn new(value: T) -> Self {
        RwLock {
            raw: RawRwLock::new(),
            poison: Poison::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock apart.
    ///
    /// # Errors
    ///
    /// When it is poisoned; the value is inside the error.
    pub fn into_inner(self) -> LockResult<T> {
        let is_poisoned = self.is_poisoned();
        checked(is_poisoned, self.value.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// When a writer before has panicked; the guard is inside the error.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; whoever it kept waiting goes on.
    ///
    /// # Parks
    ///
    /// While somebody writes, or others wait (`sync.rwlock_read`).
    #[track_caller]
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.raw.lock(Want::Read, Deadline::NEVER, Self::read_kind);
        self.read_guard()
    }

    /// Takes the lock for reading if that is possible at once. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] when somebody writes, or waits to; `Poisoned`, with the guard inside, as
    /// for [`read`](Self::read).
    #[track_caller]
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.raw.try_lock(Want::Read) {
            Ok(self.read_guard()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Takes the lock for reading, waiting no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`LockTimeoutError`]. A waiter whose turn comes at the very deadline has the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let lock = greenloom::sync::RwLock::new(0);
    /// let guard = lock.write().unwrap();
    /// assert!(lock.read_timeout(Duration::from_millis(1)).is_err());
    /// # drop(guard);
    /// ```
    #[track_caller]
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockReadGuard<'_, T>, LockTimeoutError<RwLockReadGuard<'_, T>>> {
        if self.lock_timeout(Want::Read, timeout, Self::read_kind) {
            self.read_guard().map_err(LockTimeoutError::Poisoned)
        } else {
            Err(LockTimeoutError::TimedOut)
        }
    }

    /// Takes the lock for writing, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// When a writer before has panicked; the guard is inside the error.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; whoever it kept waiting goes on.
    ///
    /// # Parks
    ///
    /// While somebody reads or writes, or others wait (`sync.rwlock_write`).
    #[track_caller]
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.raw
            .lock(Want::Write, Deadline::NEVER, Self::write_kind);
        self.write_guard()
    }

    /// Takes the lock for writing if that is possible at once. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] when somebody reads or writes; `Poisoned`, with the guard inside, as for
    /// [`write`](Self::write).
    #[track_caller]
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.raw.try_lock(Want::Write) {
            Ok(self.write_guard()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Takes the lock for writing, waiting no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`LockTimeoutError`]. A waiter whose turn comes at the very deadline has the lock.
    #[track_caller]
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockWriteGuard<'_, T>, LockTimeoutError<RwLockWriteGuard<'_, T>>> {
        if self.lock_timeout(Want::Write, timeout, Self::write_kind) {
            self.write_guard().map_err(LockTimeoutError::Poisoned)
        } else {
            Err(LockTimeoutError::TimedOut)
        }
    }

    #[track_caller]
    fn lock_timeout(&self, want: Want, timeout: Duration, kind: fn() -> Kind) -> bool {
        self.raw.try_lock(want)
            || (!timeout.is_zero() && self.raw.lock(want, park::deadline(timeout), kind))
    }

    fn read_kind() -> Kind {
        Kind::of::<T>("sync.rwlock_read", "an RwLock")
    }

    fn write_kind() -> Kind {
        Kind::of::<T>("sync.rwlock_write", "an RwLock")
    }

    /// Called with the lock just taken for reading.
    #[inline]
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.poison.check(RwLockReadGuard::new(self))
    }

    /// Called with the lock just taken for writing.
    #[inline]
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.poison.check(RwLockWriteGuard {
            lock: self,
            taken: Taken::now(),
            stays: PhantomData,
        })
    }

    /// Whether a writer has panicked, and nobody has cleared that since.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Forgets that a writer has panicked: the value has been put right.
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: `&mut self` proves that nobody else is there.
    ///
    /// # Errors
    ///
    /// When the lock is poisoned; the reference is inside the error.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let is_poisoned = self.is_poisoned();
        checked(is_poisoned, self.value.get_mut())
    }
}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Called with the lock taken for reading, which the guard gives back.
    #[inline]
    fn new(lock: &'a RwLock<T>) -> Self {
        RwLockReadGuard {
            // SAFETY: the address of a cell is not null.
            value: unsafe { NonNull::new_unchecked(lock.value.get()) },
            raw: &lock.raw,
        }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader, and lets other readers in; no writer comes in between.
    ///
    /// As [`std::sync::RwLockWriteGuard::downgrade`]. Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(0);
    /// let mut guard = lock.write().unwrap();
    /// *guard += 1;
    /// let guard = RwLockWriteGuard::downgrade(guard);
    /// assert_eq!((*guard, *lock.read().unwrap()), (1, 1));
    /// ```
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        // Its drop would give back the right to write, which is given up here.
        let this = ManuallyDrop::new(this);
        this.lock.raw.downgrade();
        RwLockReadGuard::new(this.lock)
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock for reading, so nobody changes the value, and the borrow of `raw`
        // keeps the lock, in which the value lies, where it is.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock for writing, so nobody else touches the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` keeps this guard's other borrows away.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.raw.unlock(Want::Read);
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.leave(self.taken);
        self.lock.raw.unlock(Want::Write);
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => debug.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => debug.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => debug.field("data", &format_args!("<locked>")),
        };
        debug
            .field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
