//! The body's side of a coroutine: how it suspends itself when it holds the yielder in its hand.

use std::fmt;

use super::ambient::Link;
use super::thrown::Thrown;

/// Suspends the coroutine or generator that it was handed to.
///
/// A body may as well call [`suspend`](super::suspend), which needs no yielder; the yielder is checked
/// by the compiler, also works with borrowed values, and can be passed down to helpers.
pub struct Yielder<'a, In, Yield> {
    link: &'a Link<In, Yield>,
}

impl<'a, In, Yield> Yielder<'a, In, Yield> {
    #[inline(always)]
    pub(super) fn new(link: &'a Link<In, Yield>) -> Self {
        Yielder { link }
    }

    /// Gives `value` to the resumer and returns what the next resumption brings.
    ///
    /// # Panics
    ///
    /// What is thrown into the coroutine unwinds from here, and so does the order to end when it is
    /// closed or dropped: both run the destructors and no panic hook. A yielder that is used while its
    /// own coroutine does not run (from another greenlet, through a scoped thread-local) panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::{Coroutine, State};
    ///
    /// let echo = Coroutine::<u32, u32, ()>::new(|y, mut n| loop { n = y.suspend(n * 2); });
    /// assert_eq!(echo.resume(1).unwrap(), State::Yielded(2));
    /// assert_eq!(echo.resume(4).unwrap(), State::Yielded(8));
    /// ```
    #[inline(always)]
    #[track_caller]
    #[doc(alias = "yield")]
    pub fn suspend(&self, value: Yield) -> In {
        self.link.suspend(value)
    }

    /// Like [`suspend`](Self::suspend), with what is thrown in as an error instead of an unwind.
    ///
    /// # Errors
    ///
    /// [`Thrown`] has an example.
    #[track_caller]
    pub fn try_suspend(&self, value: Yield) -> Result<In, Thrown> {
        self.link.try_suspend(value)
    }

    /// Yields every item of an iterator and drops what the resumer sends.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::Generator;
    ///
    /// let g = Generator::<u32>::new(|y| {
    ///     y.yield_all(0..2);
    ///     y.yield_all([7, 8]);
    /// });
    /// assert_eq!(g.collect::<Vec<_>>(), [0, 1, 7, 8]);
    /// ```
    #[track_caller]
    pub fn yield_all(&self, items: impl IntoIterator<Item = Yield>) {
        for item in items {
            self.suspend(item);
        }
    }
}

impl<In, Yield> fmt::Debug for Yielder<'_, In, Yield> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
