//! A value that is made when it is first wanted.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::task::shield;

use super::latch::Latch;
use super::once::{Once, Poisoned, poisoned_panic};

/// [`std::sync::LazyLock`] whose initialiser may wait, for green threads and plain threads.
///
/// There is one initialiser, and it can run once only: so it runs in a [`shield`](crate::shield), and a
/// cancellation of the task that happened to want the value first waits until the value is there. When it
/// panics the lock is poisoned, as std's.
///
/// # Examples
///
/// ```
/// use greenloom::sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| {
///     greenloom::yield_now(); // it may wait
///     (0..10).map(|n| n * n).collect()
/// });
///
/// # greenloom::run(|| {
/// assert_eq!(SQUARES[3], 9);
/// # });
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    /// Set by the one whom `once` lets, who never meets anybody there: std's does not block.
    value: std::sync::OnceLock<T>,
    /// Taken by the one whom `once` lets.
    init: Latch<Option<F>>,
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// Makes one whose value `f` will make; also for statics.
    pub const fn new(f: F) -> Self {
        LazyLock {
            once: Once::new(),
            value: std::sync::OnceLock::new(),
            init: Latch::new(Some(f)),
        }
    }

    /// The value, which is made if nobody has wanted it before: what dereferencing does.
    ///
    /// # Panics
    ///
    /// When the initialiser has panicked, or does; when it comes back to its own value.
    ///
    /// # Cancellation
    ///
    /// Unwinds while another waits for the initialiser; the initialiser itself runs to its end.
    ///
    /// # Parks
    ///
    /// While the initialiser runs elsewhere (`sync.once`), and where it does.
    #[track_caller]
    #[inline]
    pub fn force(this: &Self) -> &T {
        match this.value.get() {
            Some(value) => value,
            None => this.initialise(),
        }
    }

    /// As [`force`](Self::force), by `&mut`.
    #[track_caller]
    pub fn force_mut(this: &mut Self) -> &mut T {
        Self::force(this);
        this.value.get_mut().expect("made just now")
    }

    #[cold]
    #[track_caller]
    fn initialise(&self) -> &T {
        self.once.attempt(Poisoned::Panic, |_| {
            let init = self.init.lock().take();
            let Some(init) = init else {
                // Unwound by something that was taken for a cancellation.
                poisoned_panic();
            };
            let value = shield(init);
            let is_set = self.value.set(value).is_ok();
            debug_assert!(is_set, "nobody else may");
            true
        });
        self.value.get().expect("whoever completes has set it")
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made. Never parks.
    #[inline]
    pub fn get(this: &Self) -> Option<&T> {
        this.value.get()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[track_caller]
    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("LazyLock");
        match self.value.get() {
            Some(value) => debug.field(value),
            None if self.once.is_poisoned() => debug.field(&format_args!("<poisoned>")),
            None => debug.field(&format_args!("<uninit>")),
        };
        debug.finish()
    }
}
