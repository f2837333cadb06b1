//! Generators with the semantics of Python's: next, send, throw, close, and a result at the end.

use std::any::Any;
use std::fmt;

use super::ambient::Link;
use super::coroutine::{State, refused};
use super::engine::{Engine, Plan, Refusal, Step};
use super::error::{CloseError, GENERATOR_RUNNING, ResumeError, SendError, StackError, ThrowError};
use super::signature::Signature;
use super::thrown::Order;
use super::unwinding;
use super::yielder::Yielder;
use crate::stack::Kind;

/// A function that yields values one after another, from any depth of calls, as PEP 342 has it.
///
/// Nothing runs before the first [`next`](Self::next). A generator without inputs (`In = ()`) is an
/// [`Iterator`], and so is a reference to it; both are fused. The methods take `&self`, so that a call
/// from inside the body is an error ("generator already executing") and not a deadlock.
///
/// A panic in the body comes out of the call that ran it, once. Dropping a suspended generator closes
/// it; what a body that ignores that leaves behind, and what holds at thread exit, is told at
/// [`Coroutine`](super::Coroutine). A generator never leaves its thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(greenloom::coroutine::Generator::<u32>::new(|_| ()));
/// ```
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::Generator;
///
/// let squares = Generator::<u64>::new(|y| {
///     for n in 0.. {
///         y.suspend(n * n);
///     }
/// });
/// assert_eq!(squares.take(4).collect::<Vec<_>>(), [0, 1, 4, 9]);
/// ```
pub struct Generator<Yield, In = (), Out = ()> {
    engine: Engine<In, Yield, Out>,
}

impl<Yield: 'static, In: 'static, Out: 'static> Generator<Yield, In, Out> {
    /// Makes a generator with a stack of the default size. Nothing of `body` runs yet.
    ///
    /// # Panics
    ///
    /// When there is no memory for the stack; [`Builder`](super::Builder) gives an error instead.
    #[track_caller]
    pub fn new<F>(body: F) -> Self
    where
        F: FnOnce(&Yielder<'_, In, Yield>) -> Out + 'static,
    {
        match Self::planned(&Plan::plain(Kind::Generator), body) {
            Ok(generator) => generator,
            Err(error) => panic!("{error}: {}", error.0),
        }
    }

    pub(super) fn planned<F>(plan: &Plan<'_>, body: F) -> Result<Self, StackError>
    where
        F: FnOnce(&Yielder<'_, In, Yield>) -> Out + 'static,
    {
        let engine = Engine::new(
            plan,
            Signature::of::<In, Yield>(),
            move |link: &Link<In, Yield>, _: Option<In>| body(&Yielder::new(link)),
        )?;
        Ok(Generator { engine })
    }
}

impl<Yield, In, Out> Generator<Yield, In, Out> {
    /// The next value, or `None` when the body has ended; `In::default()` is sent if it waits for a value.
    ///
    /// The body's result is kept for [`take_return`](Self::take_return).
    ///
    /// # Panics
    ///
    /// From inside the body ("generator already executing"; [`try_next`](Self::try_next) is an error
    /// then), and with the body's own panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::Generator;
    ///
    /// let sum = Generator::<i32, i32>::new(|y| {
    ///     let mut sum = 0;
    ///     loop { sum += y.suspend(sum); }
    /// });
    /// assert_eq!(sum.next(), Some(0));
    /// assert_eq!(sum.send(1).unwrap().yielded(), Some(1));
    /// assert_eq!(sum.send(2).unwrap().yielded(), Some(3));
    /// ```
    #[inline(always)]
    #[track_caller]
    pub fn next(&self) -> Option<Yield>
    where
        In: Default,
    {
        let Some(entry) = self.engine.try_enter() else {
            return none_or_panic(self.engine.refusal());
        };
        let input = (!entry.is_fresh()).then(In::default);
        match entry.run(input) {
            Step::Yielded(value) => Some(value),
            end => self.end_of_iteration(end),
        }
    }

    /// [`next`](Self::next) with an error for a call that cannot be, and the result in hand.
    ///
    /// # Errors
    ///
    /// When the body has ended, is running, or the thread is exiting.
    pub fn try_next(&self) -> Result<State<Yield, Out>, ResumeError>
    where
        In: Default,
    {
        let entry = self
            .engine
            .enter()
            .map_err(|refusal| refused(refusal, ()))?;
        let input = (!entry.is_fresh()).then(In::default);
        match entry.run(input) {
            Step::Yielded(value) => Ok(State::Yielded(value)),
            Step::Complete(out) => Ok(State::Complete(out)),
            Step::Closed => Err(ResumeError::Finished(())),
            Step::Unwound(payload) => unwinding::throw(payload),
        }
    }

    /// Gives `value` to the body as the result of the `suspend` it waits in, and runs it on.
    ///
    /// # Errors
    ///
    /// When nothing waits for a value: before the first `next` (the generator stays usable), after the
    /// end, from inside the body. The value comes back.
    ///
    /// # Panics
    ///
    /// With the body's own panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::{Generator, SendError};
    ///
    /// let g = Generator::<i32, i32>::new(|y| { y.suspend(1); });
    /// assert!(matches!(g.send(5), Err(SendError::NotStarted(5))));
    /// assert_eq!(g.next(), Some(1));
    /// assert!(g.send(5).unwrap().is_complete());
    /// assert!(matches!(g.send(6), Err(SendError::Finished(6))));
    /// ```
    #[inline(always)]
    pub fn send(&self, value: In) -> Result<State<Yield, Out>, SendError<In>> {
        let entry = match self.engine.try_enter() {
            Some(entry) if entry.is_fresh() => return Err(SendError::NotStarted(value)),
            Some(entry) => entry,
            None => {
                return Err(match self.engine.refusal() {
                    Refusal::Finished => SendError::Finished(value),
                    Refusal::Running => SendError::AlreadyRunning(value),
                    Refusal::Exited => SendError::ThreadExited(value),
                });
            }
        };
        match entry.run(Some(value)) {
            Step::Yielded(value) => Ok(State::Yielded(value)),
            Step::Complete(out) => Ok(State::Complete(out)),
            Step::Closed => Err(SendError::Closed),
            Step::Unwound(payload) => unwinding::throw(payload),
        }
    }

    /// Throws `error` into the body at the `suspend` it waits in, and runs it on.
    ///
    /// `suspend` unwinds with it (no panic hook runs); [`catch`](super::catch) in the body intercepts it
    /// by type, [`try_suspend`](Yielder::try_suspend) gets it as an error without any unwinding. If the
    /// body handles it, this returns what it yields or returns next.
    ///
    /// # Errors
    ///
    /// [`ThrowError::Unhandled`] gives it back if the body lets it through, and also if the body has
    /// not started (it never will then) or has ended. The other kinds throw nothing.
    ///
    /// # Panics
    ///
    /// With the body's own panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::{Generator, ThrowError};
    ///
    /// let g = Generator::<u32>::new(|y| y.suspend(1));
    /// g.next();
    /// assert!(matches!(g.throw("stop"), Err(ThrowError::Unhandled("stop"))));
    /// assert!(g.is_finished());
    /// ```
    pub fn throw<E: Any + Send>(&self, error: E) -> Result<State<Yield, Out>, ThrowError<E>> {
        let entry = match self.engine.enter() {
            Ok(entry) => entry,
            Err(Refusal::Finished) => return Err(ThrowError::Unhandled(error)),
            Err(Refusal::Running) => return Err(ThrowError::AlreadyRunning(error)),
            Err(Refusal::Exited) => return Err(ThrowError::ThreadExited(error)),
        };
        if self.engine.link().is_mid_unwind() {
            return Err(ThrowError::Unwinding(error));
        }
        match entry.order(Order::Throw(Box::new(error))) {
            Step::Yielded(value) => Ok(State::Yielded(value)),
            Step::Complete(out) => Ok(State::Complete(out)),
            Step::Closed => Err(ThrowError::Closed),
            Step::Unwound(payload) => match payload.downcast::<E>() {
                Ok(error) => Err(ThrowError::Unhandled(*error)),
                Err(payload) => unwinding::throw(payload),
            },
        }
    }

    /// Ends the generator: unwinds the body from its `suspend`, so that its destructors run.
    ///
    /// A body that has not started never runs. `Ok(Some(out))` if the body saw the close (by
    /// [`try_suspend`](Yielder::try_suspend)) and returned a result; closing again is `Ok(None)`.
    ///
    /// # Errors
    ///
    /// [`CloseError::IgnoredExit`] if the body yields instead of ending: the value is dropped, and the
    /// generator is suspended there and may be resumed. From inside the body: `AlreadyRunning`.
    ///
    /// # Panics
    ///
    /// With the body's own panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::coroutine::{CloseError, Generator};
    ///
    /// let g = Generator::<u32>::new(|y| y.suspend(1));
    /// g.next();
    /// assert_eq!(g.close(), Ok(None));
    /// assert_eq!(g.next(), None);
    ///
    /// let deaf = Generator::<u32>::new(|y| while let Err(_) = y.try_suspend(1) {});
    /// deaf.next();
    /// assert_eq!(deaf.close(), Err(CloseError::IgnoredExit));
    /// assert_eq!(deaf.next(), None);
    /// ```
    pub fn close(&self) -> Result<Option<Out>, CloseError> {
        match self.engine.close() {
            Ok(Some(Step::Complete(out))) => Ok(Some(out)),
            Ok(Some(Step::Unwound(payload))) => unwinding::throw(payload),
            Ok(Some(_)) | Err(Refusal::Finished) => Ok(None),
            Ok(None) => Err(CloseError::IgnoredExit),
            Err(Refusal::Running) => Err(CloseError::AlreadyRunning),
            Err(Refusal::Exited) => Err(CloseError::ThreadExited),
        }
    }

    /// The result of a body that ended in [`next`](Self::next) or in an iteration, once.
    pub fn take_return(&self) -> Option<Out> {
        self.engine.take_return()
    }

    /// The generator as an iterator that leaves it in place.
    pub fn by_ref(&self) -> &Self {
        self
    }

    /// Whether the body has begun.
    pub fn has_started(&self) -> bool {
        self.engine.has_started()
    }

    /// Whether the body has returned, panicked or was closed. False while it runs.
    pub fn is_finished(&self) -> bool {
        self.engine.is_finished()
    }

    #[inline(always)]
    pub(super) fn engine(&self) -> &Engine<In, Yield, Out> {
        &self.engine
    }

    #[cold]
    fn end_of_iteration(&self, end: Step<Yield, Out>) -> Option<Yield> {
        match end {
            Step::Complete(out) => self.engine.keep_return(out),
            Step::Unwound(payload) => unwinding::throw(payload),
            Step::Closed | Step::Yielded(_) => {}
        }
        None
    }
}

#[cold]
#[track_caller]
fn none_or_panic<Yield>(refusal: Refusal) -> Option<Yield> {
    match refusal {
        Refusal::Running => panic!("{GENERATOR_RUNNING}"),
        // At thread exit a panic would abort; `try_next` tells the difference.
        Refusal::Finished | Refusal::Exited => None,
    }
}

impl<Yield, Out> Iterator for Generator<Yield, (), Out> {
    type Item = Yield;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<Yield> {
        Generator::next(self)
    }
}

impl<Yield, Out> Iterator for &Generator<Yield, (), Out> {
    type Item = Yield;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<Yield> {
        Generator::next(self)
    }
}

impl<Yield, Out> std::iter::FusedIterator for Generator<Yield, (), Out> {}
impl<Yield, Out> std::iter::FusedIterator for &Generator<Yield, (), Out> {}

impl<Yield, In, Out> fmt::Debug for Generator<Yield, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt_as("Generator", f)
    }
}

pub(super) fn of_engine<Yield, In, Out>(
    engine: Engine<In, Yield, Out>,
) -> Generator<Yield, In, Out> {
    Generator { engine }
}
