//! The body's side of a coroutine: how it suspends itself when it holds the yielder in its hand.

use std::fmt;

use super::ambient::Link;
use super::engine::{Engine, Refusal, Step};
use super::error::{CloseError, GENERATOR_RUNNING};
use super::generator::Generator;
use super::thrown::{Order, Payload, Thrown};
use super::unwinding;

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

    /// Runs `inner` in the place of this body until it returns, and returns its result (PEP 380).
    ///
    /// What is sent goes to `inner`, what is thrown is thrown into `inner`, and closing closes `inner`
    /// first. A plain call of a function that takes the yielder does most of this for nothing; this is
    /// for a generator that exists already. One that has been started goes on with `In::default()`, as
    /// by `next`. `None` if it had returned or was closed before.
    ///
    /// # Panics
    ///
    /// With what `inner` lets through, if `inner` ignores a close, and if it is running already.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::Generator;
    ///
    /// let outer = Generator::<u32, (), u32>::new(|y| {
    ///     let inner = Generator::new(|y| { y.suspend(1); y.suspend(2); 40 });
    ///     y.yield_from(&inner).unwrap() + 2
    /// });
    /// assert_eq!(outer.by_ref().collect::<Vec<_>>(), [1, 2]);
    /// assert_eq!(outer.take_return(), Some(42));
    /// ```
    #[track_caller]
    pub fn yield_from<Out>(&self, inner: &Generator<Yield, In, Out>) -> Option<Out>
    where
        In: Default,
    {
        let engine = inner.engine();
        let mut next = Next::Input(inner.has_started().then(In::default));
        loop {
            match forward(engine, next)? {
                Step::Yielded(value) => next = self.ask(engine, value),
                Step::Complete(out) => return Some(out),
                Step::Closed => return None,
                Step::Unwound(payload) => unwinding::throw(payload),
            }
        }
    }

    /// Yields on behalf of `inner` and turns the answer into what is done with `inner` next.
    fn ask<Out>(&self, inner: &Engine<In, Yield, Out>, value: Yield) -> Next<In> {
        match self.try_suspend(value) {
            Ok(input) => Next::Input(Some(input)),
            Err(thrown) if thrown.is_close() => {
                close_inner(inner);
                thrown.rethrow()
            }
            Err(thrown) => Next::Throw(thrown.into_payload()),
        }
    }
}

/// What a delegating body does with the inner one.
enum Next<In> {
    Input(Option<In>),
    Throw(Payload),
}

fn forward<In, Yield, Out>(
    inner: &Engine<In, Yield, Out>,
    next: Next<In>,
) -> Option<Step<Yield, Out>> {
    let entry = match inner.enter() {
        Ok(entry) => entry,
        Err(Refusal::Running) => panic!("{GENERATOR_RUNNING}"),
        // Ended before, or its thread is ending: an error thrown in goes to the delegating body.
        Err(Refusal::Finished | Refusal::Exited) => match next {
            Next::Throw(payload) => unwinding::throw(payload),
            Next::Input(_) => return None,
        },
    };
    Some(match next {
        Next::Input(input) => entry.run(input),
        Next::Throw(payload) if inner.link().is_mid_unwind() => {
            drop(entry);
            unwinding::throw(payload)
        }
        Next::Throw(payload) => entry.order(Order::Throw(payload)),
    })
}

fn close_inner<In, Yield, Out>(inner: &Engine<In, Yield, Out>) {
    match inner.close() {
        Ok(Some(Step::Unwound(payload))) => unwinding::throw(payload),
        Ok(None) => panic!("{}", CloseError::IgnoredExit),
        _ => {}
    }
}

impl<In, Yield> fmt::Debug for Yielder<'_, In, Yield> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
