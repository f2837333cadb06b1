//! What a spawner keeps of a task: a way to wait for its outcome, and to end it early.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{error, fmt, io};

use crate::base::clock::Deadline;
use crate::scheduler::header::TaskId;
use crate::scheduler::packet::{Fault, Joiner, Who, panic_text};
use crate::scheduler::park::{self, Describe};

use super::cancel::{note, restore, shield};
use super::this::Task;
use super::wait::{Joinable, sealed::Sealed};

/// What a task panicked with.
///
/// std's payload is `Send` alone; this one is `Sync` too, so that a [`JoinError`] goes wherever errors go.
pub struct Panic {
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        Panic {
            payload: Mutex::new(payload),
        }
    }

    /// The payload, to be thrown on with [`std::panic::resume_unwind`] or downcast.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::JoinError;
    /// # greenloom::run(|| {
    /// let task = greenloom::spawn(|| std::panic::resume_unwind(Box::new(7)));
    /// let Err(JoinError::Panicked(panic)) = task.join() else { unreachable!() };
    /// assert_eq!(*panic.into_payload().downcast::<i32>().unwrap(), 7);
    /// # });
    /// ```
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The panic's message, or a note that it has none.
    pub fn message(&self) -> String {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        panic_text(payload.as_ref()).to_owned()
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

/// Why a join gave no value.
#[non_exhaustive]
pub enum JoinError {
    /// The task panicked.
    Panicked(Panic),
    /// The task was cancelled, or its runtime was stopped.
    Cancelled,
    /// The task never ran: no memory for its stack could be had, and no other task will free any.
    NoStack(io::Error),
    /// A task that joins itself would wait for ever.
    Itself,
}

impl JoinError {
    /// The payload of the panic, to be thrown on with [`std::panic::resume_unwind`].
    ///
    /// # Errors
    ///
    /// Gives the error back when it is no panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self {
            JoinError::Panicked(panic) => Ok(panic.into_payload()),
            other => Err(other),
        }
    }

    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panicked(_))
    }
}

impl From<Fault> for JoinError {
    fn from(fault: Fault) -> JoinError {
        match fault {
            Fault::Panicked(payload) => JoinError::Panicked(Panic::new(payload)),
            Fault::Cancelled => JoinError::Cancelled,
            Fault::NoStack(error) => JoinError::NoStack(error),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(panic) => {
                f.debug_tuple("Panicked").field(&panic.message()).finish()
            }
            JoinError::Cancelled => f.write_str("Cancelled"),
            JoinError::NoStack(error) => f.debug_tuple("NoStack").field(error).finish(),
            JoinError::Itself => f.write_str("Itself"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(panic) => write!(f, "the task panicked: {}", panic.message()),
            JoinError::Cancelled => f.write_str("the task was cancelled"),
            JoinError::NoStack(error) => write!(f, "the task never ran: {error}"),
            JoinError::Itself => f.write_str("a task cannot join itself: it would wait for ever"),
        }
    }
}

impl error::Error for JoinError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            JoinError::NoStack(error) => Some(error),
            _ => None,
        }
    }
}

/// The right to wait for a task and to take its value.
///
/// Dropping it lets the task go on by itself, as in std; a panic that nobody joined is logged once. It is
/// also a [`Future`], for any executor.
pub struct JoinHandle<T> {
    joiner: Joiner<T>,
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinHandle").field(&self.joiner).finish()
    }
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(joiner: Joiner<T>) -> Self {
        JoinHandle { joiner }
    }

    /// Whether the outcome can be had: the task has ended, or is the caller, who shall be told.
    pub(super) fn is_over(&self) -> bool {
        self.joiner.is_complete() || self.joiner.is_own()
    }

    /// The outcome, when [`is_over`](Self::is_over).
    pub(super) fn outcome(&mut self) -> Result<T, JoinError> {
        match self.joiner.is_own() {
            true => Err(JoinError::Itself),
            false => self.take(),
        }
    }

    /// Leaves a waker to be woken at the end; true when that has come.
    pub(super) fn announce(&mut self, waker: Waker) -> bool {
        self.joiner.is_complete() || self.joiner.announce(waker)
    }

    /// Takes the waker back.
    pub(super) fn retract(&mut self) {
        self.joiner.retract();
    }

    fn take(&mut self) -> Result<T, JoinError> {
        let outcome = self
            .joiner
            .take()
            .expect("a JoinHandle polled after it gave its outcome");
        outcome.map_err(JoinError::from)
    }

    /// Waits for the task to end and returns its value.
    ///
    /// Works from tasks of any runtime and from plain threads. A task that has not started yet is started
    /// by the joining worker as soon as the caller suspends, before others that wait to be started.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the task panicked, was cancelled, could get no stack, or is the caller itself.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the handle is dropped, so the task goes on detached.
    ///
    /// # Parks
    ///
    /// Until the task has ended (`task.join`); not at all if it has.
    ///
    /// # Examples
    ///
    /// ```
    /// let task = greenloom::spawn(|| 6 * 7);
    /// assert_eq!(task.join().unwrap(), 42);
    /// ```
    #[track_caller]
    #[inline]
    pub fn join(mut self) -> Result<T, JoinError> {
        if self.joiner.is_own() {
            return Err(JoinError::Itself);
        }
        self.joiner.wait(Deadline::NEVER);
        self.take()
    }

    /// As [`join`](Self::join), but waits no longer than `timeout`; the task is not cancelled.
    ///
    /// # Errors
    ///
    /// The outer error gives the handle back: the time is over and the task goes on. A task that has
    /// ended yields its value even when `timeout` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # greenloom::run(|| {
    /// let task = greenloom::spawn(|| greenloom::sleep(Duration::from_millis(20)));
    /// let task = task.join_timeout(Duration::ZERO).unwrap_err();
    /// task.join().unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        if self.joiner.is_own() {
            return Ok(Err(JoinError::Itself));
        }
        if self.joiner.wait(park::deadline(timeout)) {
            Ok(self.take())
        } else {
            Err(self)
        }
    }

    /// Asks the task to end, and waits until it has, destructors and all.
    ///
    /// # Errors
    ///
    /// [`JoinError::Cancelled`], most of the time; a task that came to its value first gives it.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the task unwinds by itself.
    ///
    /// # Parks
    ///
    /// Until the task has ended (`task.join`).
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let task = greenloom::spawn(|| greenloom::sleep(std::time::Duration::MAX));
    /// assert!(task.cancel_and_join().unwrap_err().is_cancelled());
    /// # });
    /// ```
    #[track_caller]
    pub fn cancel_and_join(self) -> Result<T, JoinError> {
        self.cancel();
        self.join()
    }

    /// What the task came to by the deadline, or, cancelled for being late, after it.
    #[track_caller]
    pub(crate) fn end_by(mut self, deadline: Deadline) -> (bool, Result<T, JoinError>) {
        if self.joiner.is_own() {
            return (false, Err(JoinError::Itself));
        }
        let is_late = end_by(&mut self.joiner, deadline);
        (is_late, self.take())
    }

    /// Waits for the end, and leaves the outcome where it is. Not to be called by the task itself.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) {
        self.joiner.wait(Deadline::NEVER);
    }

    /// Whether the task has ended, so that `join` returns at once.
    pub fn is_finished(&self) -> bool {
        self.joiner.is_complete()
    }

    /// Asks the task to end: it unwinds from its present or next wait, running every destructor; one that
    /// has not started never does. Returns at once; `join` waits for the end.
    ///
    /// The task ends as [`JoinError::Cancelled`], or with its value if it came to one first.
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let task = greenloom::spawn(|| greenloom::sleep(std::time::Duration::MAX));
    /// task.cancel();
    /// assert!(task.join().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn cancel(&self) {
        self.joiner.cancel();
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        self.joiner.task.id
    }

    /// The task's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.joiner
            .task
            .spec
            .name
            .as_ref()
            .map(|name| name.as_str())
    }

    /// The task itself, to unpark or to compare.
    pub fn task(&self) -> Task {
        Task::new(self.joiner.task.clone())
    }
}

/// Waits for the task's end, which is asked for when the deadline has passed or the wait unwinds: nothing
/// leaves before it has come. True when it was late.
#[track_caller]
pub(super) fn end_by<T>(joiner: &mut Joiner<T>, deadline: Deadline) -> bool {
    let was_unwinding = note();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let is_late = !joiner.wait(deadline);
        if is_late {
            joiner.cancel();
            joiner.wait(Deadline::NEVER);
        }
        is_late
    }));
    result.unwrap_or_else(|payload| {
        restore(was_unwinding);
        joiner.cancel();
        shield(|| joiner.wait(Deadline::NEVER));
        park::rethrow(payload)
    })
}

impl<T> Sealed for JoinHandle<T> {
    fn announce(&mut self, waker: Waker) -> bool {
        self.joiner.is_own() || self.joiner.announce(waker)
    }

    fn has_ended(&self) -> bool {
        self.joiner.is_own() || self.joiner.is_complete()
    }

    fn has_failed(&mut self) -> bool {
        self.joiner.has_failed()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Who(&self.joiner.task).describe(f)
    }
}

impl<T> Joinable for JoinHandle<T> {
    type Value = T;

    #[track_caller]
    fn join(self) -> Result<T, JoinError> {
        JoinHandle::join(self)
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.joiner.is_own() {
            return Poll::Ready(Err(JoinError::Itself));
        }
        if self.joiner.is_complete() || self.joiner.announce(context.waker().clone()) {
            Poll::Ready(self.take())
        } else {
            Poll::Pending
        }
    }
}
