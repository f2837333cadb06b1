//! The plain coroutine: a body that is resumed with values, gives values back, and ends with one.

use std::fmt;

use super::ambient::Link;
use super::engine::{Engine, Plan, Refusal, Step};
use super::error::{ResumeError, StackError};
use super::signature::Signature;
use super::unwinding;
use super::yielder::Yielder;
use crate::stack::Kind;

/// What a resumption ended with.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::State;
///
/// let state: State<u32, ()> = State::Yielded(7);
/// assert_eq!(state.yielded(), Some(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State<Yield, Out> {
    /// The body suspended with this value and can be resumed again.
    Yielded(Yield),
    /// The body has returned this value and is finished.
    Complete(Out),
}

impl<Yield, Out> State<Yield, Out> {
    /// The value of a suspension.
    pub fn yielded(self) -> Option<Yield> {
        match self {
            State::Yielded(value) => Some(value),
            State::Complete(_) => None,
        }
    }

    /// The value of the return.
    pub fn complete(self) -> Option<Out> {
        match self {
            State::Yielded(_) => None,
            State::Complete(out) => Some(out),
        }
    }

    /// Whether the body has returned.
    pub fn is_complete(&self) -> bool {
        matches!(self, State::Complete(_))
    }
}

/// A function on its own stack that can be suspended from any depth and resumed later.
///
/// The body gets its first input as an argument and further ones from
/// [`Yielder::suspend`] or [`suspend`](super::suspend). Nothing runs before the first
/// [`resume`](Self::resume).
///
/// **Panics.** A panic in the body comes out of the `resume` that ran it, once; then the coroutine is
/// finished.
///
/// **Drop.** Dropping a suspended coroutine runs the destructors on its stack by unwinding it from the
/// suspension with a private payload; no panic hook runs. A body that catches that payload and suspends
/// again is told up to eight times; then its stack is leaked, with a line in the log. It is leaked
/// at once if it is suspended inside a destructor that runs because of an unwind, where unwinding again
/// would abort the process, and when the panic strategy is `abort`.
///
/// **Threads.** A coroutine stays on the thread that made it: it is neither `Send` nor `Sync`, so its
/// body may hold `Rc`s, `RefCell` borrows and thread-local references over a suspension.
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(greenloom::coroutine::Coroutine::<(), (), ()>::new(|_, ()| ()));
/// ```
///
/// **The one exception to safety.** When a thread ends, its thread-locals die one after another, on most
/// systems the one that was first used last first. From the moment at which those begin to die that are older
/// than the thread's first coroutine, `resume` is an error and drop leaks. So nothing dead is read as long as
/// whatever keeps coroutines in a thread-local was there before the thread made its first one. But this
/// program, which needs two thread-locals that are younger than that, and no `unsafe`, reads a dead value:
///
/// ```no_run
/// use greenloom::coroutine::{suspend, Coroutine};
/// use std::cell::RefCell;
///
/// struct Reader<'a>(&'a String);
/// impl Drop for Reader<'_> {
///     fn drop(&mut self) { println!("{}", self.0); } // KEY's value is gone
/// }
/// thread_local! {
///     static KEY: String = "value".to_string();
///     static KEEPER: RefCell<Option<Coroutine<(), (), ()>>> = const { RefCell::new(None) };
/// }
/// drop(Coroutine::<(), (), ()>::new(|_, ()| ())); // the thread's first
/// KEEPER.with(|keeper| {
///     let coroutine = Coroutine::new(|_, ()| KEY.with(|value| {
///         let _reader = Reader(value);
///         suspend::<(), ()>(());
///     }));
///     coroutine.resume(()).unwrap();
///     *keeper.borrow_mut() = Some(coroutine);
/// });
/// // The thread ends: first KEY dies, then KEEPER drops the coroutine, which unwinds into `Reader`.
/// ```
///
/// Do not keep a suspended coroutine that holds a `LocalKey::with` reference in a thread-local, nor
/// [`forget`](std::mem::forget) one that lent such a reference to another thread. Tasks of a runtime are
/// not concerned: they end before their thread does.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::{Coroutine, State};
///
/// let sums = Coroutine::<u32, u32, &str>::new(|y, first| {
///     let mut sum = first;
///     while sum < 10 {
///         sum += y.suspend(sum);
///     }
///     "enough"
/// });
/// assert_eq!(sums.resume(3).unwrap(), State::Yielded(3));
/// assert_eq!(sums.resume(4).unwrap(), State::Yielded(7));
/// assert_eq!(sums.resume(5).unwrap(), State::Complete("enough"));
/// ```
pub struct Coroutine<In, Yield, Out> {
    engine: Engine<In, Yield, Out>,
}

impl<In: 'static, Yield: 'static, Out: 'static> Coroutine<In, Yield, Out> {
    /// Makes a coroutine with a stack of the default size. Nothing of `body` runs yet.
    ///
    /// # Panics
    ///
    /// When there is no memory for the stack; [`Builder`](super::Builder) gives an error instead.
    #[track_caller]
    pub fn new<F>(body: F) -> Self
    where
        F: FnOnce(&Yielder<'_, In, Yield>, In) -> Out + 'static,
    {
        match Self::planned(&Plan::plain(Kind::Coroutine), body) {
            Ok(coroutine) => coroutine,
            Err(error) => panic!("{error}: {}", error.0),
        }
    }

    pub(super) fn planned<F>(plan: &Plan<'_>, body: F) -> Result<Self, StackError>
    where
        F: FnOnce(&Yielder<'_, In, Yield>, In) -> Out + 'static,
    {
        let engine = Engine::new(
            plan,
            Signature::of::<In, Yield>(),
            move |link: &Link<In, Yield>, first: Option<In>| {
                body(
                    &Yielder::new(link),
                    first.expect("a coroutine starts with an input"),
                )
            },
        )?;
        Ok(Coroutine { engine })
    }
}

impl<In, Yield, Out> Coroutine<In, Yield, Out> {
    /// Runs the body until it suspends or returns.
    ///
    /// # Errors
    ///
    /// When the body has ended, when it is running already (the call comes from inside it), and when the
    /// thread is exiting; the input comes back.
    ///
    /// # Panics
    ///
    /// With the body's own panic, if it panics.
    ///
    /// # Examples
    ///
    /// A call from inside:
    ///
    /// ```
    /// use greenloom::coroutine::{Coroutine, ResumeError};
    /// use std::rc::{Rc, Weak};
    ///
    /// let me = Rc::new_cyclic(|me: &Weak<Coroutine<(), (), bool>>| {
    ///     let me = me.clone();
    ///     Coroutine::new(move |_, ()| {
    ///         matches!(me.upgrade().unwrap().resume(()), Err(ResumeError::AlreadyRunning(())))
    ///     })
    /// });
    /// assert_eq!(me.resume(()).unwrap().complete(), Some(true));
    /// ```
    #[inline(always)]
    pub fn resume(&self, input: In) -> Result<State<Yield, Out>, ResumeError<In>> {
        let Some(entry) = self.engine.try_enter() else {
            return Err(refused(self.engine.refusal(), input));
        };
        match entry.run(Some(input)) {
            Step::Yielded(value) => Ok(State::Yielded(value)),
            Step::Complete(out) => Ok(State::Complete(out)),
            Step::Closed => unreachable!("only a drop closes a coroutine"),
            Step::Unwound(payload) => unwinding::throw(payload),
        }
    }

    /// Whether the body has returned or panicked. False while it runs.
    pub fn is_finished(&self) -> bool {
        self.engine.is_finished()
    }
}

/// The error of a resumption that was refused.
#[cold]
pub(super) fn refused<In>(refusal: Refusal, input: In) -> ResumeError<In> {
    match refusal {
        Refusal::Finished => ResumeError::Finished(input),
        Refusal::Running => ResumeError::AlreadyRunning(input),
        Refusal::Exited => ResumeError::ThreadExited(input),
    }
}

impl<In, Yield, Out> fmt::Debug for Coroutine<In, Yield, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt_as("Coroutine", f)
    }
}
