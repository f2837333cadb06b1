//! A value that is set once, by whoever comes first.

use std::convert::Infallible;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park;

use super::once::{Once, Poisoned};

/// [`std::sync::OnceLock`] whose initialiser may wait, for green threads and plain threads.
///
/// Reading it costs one load. An initialiser that panics, or is cancelled, leaves it empty, and the next one
/// tries.
///
/// # Examples
///
/// ```
/// use greenloom::sync::OnceLock;
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
///
/// # greenloom::run(|| {
/// let config = CONFIG.get_or_init(|| {
///     greenloom::yield_now(); // it may read a socket, say: others who want it wait meanwhile
///     "verbose".to_string()
/// });
/// assert_eq!(config, "verbose");
/// assert_eq!(CONFIG.set("quiet".into()), Err("quiet".into()));
/// # });
/// ```
pub struct OnceLock<T> {
    /// Decides who sets the value, and lets the others wait.
    once: Once,
    /// Set by the one whom `once` lets, who never meets anybody there: std's does not block.
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    /// Makes an empty one; also for statics.
    pub const fn new() -> Self {
        OnceLock {
            once: Once::new(),
            value: std::sync::OnceLock::new(),
        }
    }

    /// The value, if it is there. Never parks.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there, without locking.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Waits until the value is there.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// Until then (`sync.once_wait`).
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_until(Poisoned::Ignore, Deadline::NEVER);
        self.there()
    }

    /// As [`wait`](Self::wait), but `None` when the value was not there after `timeout`. With a `timeout` of
    /// zero it asks once.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        if self.get().is_none() && !timeout.is_zero() {
            self.once
                .wait_until(Poisoned::Ignore, park::deadline(timeout));
        }
        self.get()
    }

    /// Sets the value, if there is none; waits for an initialiser that runs.
    ///
    /// # Errors
    ///
    /// When there is one; the new one is given back.
    ///
    /// # Parks
    ///
    /// As [`get_or_init`](Self::get_or_init).
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        if self.get().is_none() {
            self.once.attempt(Poisoned::Ignore, |_| {
                value.take().is_some_and(|value| self.fill(value))
            });
        }
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value, made by `f` if there is none; `f` of one at a time runs.
    ///
    /// # Panics
    ///
    /// When `f` does, which leaves it empty; and when `f` comes back to it, which would wait for itself.
    ///
    /// # Cancellation
    ///
    /// Unwinds out of `f`, or while it waits; the next one tries.
    ///
    /// # Parks
    ///
    /// While another's initialiser runs (`sync.once`), and where `f` does.
    #[track_caller]
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        let result: Result<&T, Infallible> = self.get_or_try_init(|| Ok(f()));
        match result {
            Ok(value) => value,
        }
    }

    /// As [`get_or_init`](Self::get_or_init), with an `f` that may fail and leave it empty.
    ///
    /// # Errors
    ///
    /// What `f` gives.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = greenloom::sync::OnceLock::new();
    /// assert!(lock.get_or_try_init(|| "x".parse::<u8>()).is_err());
    /// assert_eq!(lock.get_or_try_init(|| "7".parse::<u8>()), Ok(&7));
    /// ```
    #[track_caller]
    #[inline]
    pub fn get_or_try_init<F, E>(&self, f: F) -> Result<&T, E>
    where
        F: FnOnce() -> Result<T, E>,
    {
        match self.get() {
            Some(value) => Ok(value),
            None => self.initialise(f),
        }
    }

    #[cold]
    #[track_caller]
    fn initialise<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let mut error = None;
        self.once.attempt(Poisoned::Ignore, |_| match f() {
            Ok(value) => self.fill(value),
            Err(failed) => {
                error = Some(failed);
                false
            }
        });
        match error {
            Some(error) => Err(error),
            None => Ok(self.there()),
        }
    }

    /// Called by the one whom `once` lets.
    fn fill(&self, value: T) -> bool {
        let is_set = self.value.set(value).is_ok();
        debug_assert!(is_set, "nobody else may");
        true
    }

    /// Called when the initialiser has run to its end.
    fn there(&self) -> &T {
        self.get().expect("whoever completes has set the value")
    }

    /// Takes the value out and leaves it empty.
    pub fn take(&mut self) -> Option<T> {
        self.once = Once::new();
        self.value.take()
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }
}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let lock = OnceLock::new();
        let _ = lock.set(value);
        lock
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get()
            .cloned()
            .map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => debug.field(value),
            None => debug.field(&format_args!("<uninit>")),
        };
        debug.finish()
    }
}
