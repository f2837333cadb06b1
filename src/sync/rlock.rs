//! A lock that its owner may take again.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::base::primitive::{AtomicU64, AtomicUsize, Ordering};
use crate::scheduler::park;

use super::kind::Kind;
use super::owner::Owner;
use super::raw_mutex::RawMutex;

/// Mutual exclusion that does not exclude oneself: who has the lock may take it again, and gives it back as
/// often.
///
/// As Python's `threading.RLock` and the `ReentrantLock` that std has in the making. The owner is the running
/// task, on a plain thread the thread; a generator or greenlet that runs inside a task counts as that task.
/// As several guards may exist at a time they give `&T` alone: put a `Cell` or `RefCell` inside for more. The
/// value needs to be `Send` only, for all guards stay on one thread.
///
/// Waiters get it in the order in which they came, as with [`Mutex`](super::Mutex). There is no poisoning, as
/// in Python and std: what a panic leaves inside is the business of the value's own type.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use greenloom::sync::RLock;
///
/// static DEPTH: RLock<Cell<u32>> = RLock::new(Cell::new(0));
///
/// fn descend(n: u32) {
///     let depth = DEPTH.lock(); // again and again
///     depth.set(depth.get().max(n));
///     if n < 10 {
///         descend(n + 1);
///     }
/// }
///
/// greenloom::run(|| descend(1));
/// assert_eq!(DEPTH.lock().get(), 10);
/// ```
pub struct RLock<T: ?Sized> {
    raw: RawMutex,
    /// The one who has `raw`, by [`Owner::number`]; written by it alone, while it has.
    owner: AtomicU64,
    /// How many guards there are; touched by the owner's thread alone.
    depth: AtomicUsize,
    value: T,
}

// SAFETY: all guards that exist at a time are on one thread (they are made there by the owner, which is
// pinned to it, and are not `Send`), so sharing the lock hands the value from thread to thread and never
// gives it to two: that takes `Send`, and no `Sync`. What the guards' `Sync` lets out asks for `T: Sync`.
// `get_mut` and `into_inner` have the lock for themselves.
unsafe impl<T: ?Sized + Send> Sync for RLock<T> {}

impl<T: ?Sized> UnwindSafe for RLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RLock<T> {}

/// One of the owner's holds on an [`RLock`]; the lock is free when the last of them is dropped.
///
/// Stays on its thread:
///
/// ```compile_fail,E0277
/// static LOCK: greenloom::sync::RLock<()> = greenloom::sync::RLock::new(());
/// let guard = LOCK.lock();
/// greenloom::spawn(move || drop(guard));
/// ```
#[must_use = "the lock is given back when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct RLockGuard<'a, T: ?Sized + 'a> {
    lock: &'a RLock<T>,
    stays: PhantomData<*const ()>,
}

// SAFETY: `&RLockGuard` gives `&T` and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RLockGuard<'_, T> {}

impl<T> RLock<T> {
    /// Makes a lock that nobody holds; also for statics.
    pub const fn new(value: T) -> Self {
        RLock {
            raw: RawMutex::new(),
            owner: AtomicU64::new(Owner::NOBODY.number()),
            depth: AtomicUsize::new(0),
            value,
        }
    }

    /// Takes the lock apart.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> RLock<T> {
    /// Takes the lock, at once if the caller has it already, else waiting as long as it takes.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the turn goes to the next in line.
    ///
    /// # Parks
    ///
    /// While another task or thread has the lock (`sync.rlock`).
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> RLockGuard<'_, T> {
        let me = Owner::current();
        if !self.enter_again(me) {
            self.raw.lock(Deadline::NEVER, Self::kind);
            self.enter(me);
        }
        self.guard()
    }

    /// Takes the lock if that is possible at once. Never parks.
    #[track_caller]
    #[inline]
    pub fn try_lock(&self) -> Option<RLockGuard<'_, T>> {
        let me = Owner::current();
        if !self.enter_again(me) {
            if !self.raw.try_lock() {
                return None;
            }
            self.enter(me);
        }
        Some(self.guard())
    }

    /// As [`lock`](Self::lock), but `None` when it has not got the lock within `timeout`. With a `timeout` of
    /// zero it asks once.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::sync::RLock;
    ///
    /// static LOCK: RLock<()> = RLock::new(());
    /// # greenloom::run(|| {
    /// let _mine = LOCK.lock();
    /// let other = greenloom::spawn(|| LOCK.lock_timeout(Duration::from_millis(1)).is_none());
    /// assert!(other.join().unwrap());
    /// # });
    /// ```
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> Option<RLockGuard<'_, T>> {
        if let Some(guard) = self.try_lock() {
            return Some(guard);
        }
        if timeout.is_zero() || !self.raw.lock(park::deadline(timeout), Self::kind) {
            return None;
        }
        self.enter(Owner::current());
        Some(self.guard())
    }

    /// Whether the running task, or this thread where no task runs, has the lock.
    pub fn is_owned(&self) -> bool {
        self.is_owned_by(Owner::current())
    }

    /// The value, without locking: `&mut self` proves that nobody else is there.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    fn kind() -> Kind {
        Kind::of::<T>("sync.rlock", "an RLock")
    }

    #[inline]
    fn is_owned_by(&self, me: Owner) -> bool {
        // Relaxed: only the caller itself writes its own number there and takes it away.
        self.owner.load(Ordering::Relaxed) == me.number()
    }

    #[inline]
    fn enter_again(&self, me: Owner) -> bool {
        let is_mine = self.is_owned_by(me);
        if is_mine {
            // Not read, changed and written at once: nobody else does.
            let depth = self.depth.load(Ordering::Relaxed);
            // A depth that began anew would free the lock under guards that live.
            let deeper = depth.checked_add(1).expect("an RLock taken too often");
            self.depth.store(deeper, Ordering::Relaxed);
        }
        is_mine
    }

    /// Called with `raw` just taken.
    #[inline]
    fn enter(&self, me: Owner) {
        self.owner.store(me.number(), Ordering::Relaxed);
        self.depth.store(1, Ordering::Relaxed);
    }

    #[inline]
    fn guard(&self) -> RLockGuard<'_, T> {
        RLockGuard {
            lock: self,
            stays: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for RLockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.lock.value
    }
}

impl<T: ?Sized> Drop for RLockGuard<'_, T> {
    /// By whichever task: a guard in a generator may be dropped by another of the same thread.
    #[inline]
    fn drop(&mut self) {
        let depth = self.lock.depth.load(Ordering::Relaxed) - 1;
        self.lock.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            // Relaxed: published by the unlock.
            let nobody = Owner::NOBODY.number();
            self.lock.owner.store(nobody, Ordering::Relaxed);
            self.lock.raw.unlock();
        }
    }
}

impl<T: Default> Default for RLock<T> {
    fn default() -> Self {
        RLock::new(T::default())
    }
}

impl<T> From<T> for RLock<T> {
    fn from(value: T) -> Self {
        RLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RLock");
        match self.try_lock() {
            Some(guard) => debug.field("data", &&*guard),
            None => debug.field("data", &format_args!("<locked>")),
        };
        debug.finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RLockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RLockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
