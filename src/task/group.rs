//! Tasks that succeed or fail together: the first failure cancels the rest, and all failures come back.
//!
//! A group is a scope (`scope.rs`) with a list of failures and a flag. The flag stands in the record of the
//! task that runs the group's body, as a cancel scope (`cancel.rs`); a failure, or `cancel`, raises it and
//! cancels the tasks. What is cancelled that way unwinds and is no failure; what fails on its way out is one.
#![allow(unsafe_code)]

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::clock::Deadline;
use crate::base::primitive::{Mutex, lock};
use crate::scheduler::cancel::{Flag, Unwind};
use crate::scheduler::current;
use crate::scheduler::header::TaskId;
use crate::scheduler::park;

use super::cancel::{checkpoint, within};
use super::join::{JoinError, Panic};
use super::places::{Place, Places};
use super::scope::{Body, Scope, ScopedJoinHandle};
use super::spawn::Builder;
use super::this::Task;

/// Tasks that may borrow, and of which the first failure cancels the others: see [`TaskGroup::run`].
pub struct TaskGroup<'scope, 'env: 'scope, E> {
    scope: Scope<'scope, 'env>,
    /// In the order in which they occurred.
    failures: Mutex<Vec<Failure<E>>>,
    places: Places,
}

impl<E> fmt::Debug for TaskGroup<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("scope", &self.scope)
            .field("failures", &lock(&self.failures).len())
            .finish_non_exhaustive()
    }
}

impl<'env, E> TaskGroup<'_, 'env, E> {
    /// Runs `f` with a group whose tasks may borrow what outlives it, and returns when all have ended: with
    /// `f`'s value, or with every failure that there was.
    ///
    /// The first failure, an `Err` or a panic of a task or an `Err` of `f`, cancels all other tasks and
    /// unwinds `f` from its present or next wait. Being cancelled is no failure; a task that, cancelled, comes to
    /// an `Err` or panics on its way out has failed as well, and its error is among those returned. Nothing
    /// is lost: either all is well or the list is complete.
    ///
    /// [`cancel`](Self::cancel) ends the group without an error. `Ok(None)` says that this cut `f` short.
    ///
    /// A cancellation or time-out of the caller reaches `f` and the tasks, and goes on when they have ended;
    /// if there were failures, the error is returned instead and the caller's next wait unwinds.
    ///
    /// As asyncio's `TaskGroup`, Trio's nursery and Go's `errgroup`, with borrowing. On a plain thread `f`
    /// itself cannot be unwound: its waits run to their ends; its tasks, in the default runtime, can.
    ///
    /// # Errors
    ///
    /// [`GroupError`].
    ///
    /// # Panics
    ///
    /// With `f`'s own panic, when all tasks have been cancelled and have ended; failures of theirs are then
    /// logged.
    ///
    /// # Parks
    ///
    /// Until the last task has ended (`task.group`).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::task::TaskGroup;
    /// # greenloom::run(|| {
    /// let words = ["1", "2", "x", "4"];
    /// let sum = |words: &[&str]| {
    ///     TaskGroup::run(|group| {
    ///         let tasks: Vec<_> = words.iter().map(|word| group.spawn(|| word.parse::<u32>())).collect();
    ///         Ok(tasks.into_iter().map(|task| task.join().unwrap()).sum::<u32>())
    ///     })
    /// };
    /// assert_eq!(sum(&words[..2]).unwrap(), Some(3));
    /// let error = sum(&words).unwrap_err();
    /// assert_eq!(error.to_string(), "the group failed: invalid digit found in string");
    /// # });
    /// ```
    #[track_caller]
    pub fn run<F, T>(f: F) -> Result<Option<T>, GroupError<E>>
    where
        F: for<'scope> FnOnce(&'scope TaskGroup<'scope, 'env, E>) -> Result<T, E>,
    {
        let flag: Arc<Flag> = Arc::default();
        let body = Body {
            flag: flag.clone(),
            waker: park::current_waker(),
        };
        let group = TaskGroup {
            // SAFETY: `f` alone launches tasks in it, inside of `enter`; the group, with the list and the
            // places that its tasks borrow, stays here until that has come back.
            scope: unsafe { Scope::open("TaskGroup::run", Some(body)) },
            failures: Mutex::new(Vec::new()),
            places: Places::default(),
        };
        let ended = group.scope.enter("TaskGroup::run", "task.group", || {
            match within("TaskGroup::run", Deadline::NEVER, Some(flag), |_| f(&group)) {
                Ok(Ok(value)) => Some(value),
                Ok(Err(error)) => {
                    group.fail(Failure::Error(error));
                    None
                }
                Err(_) => None,
            }
        });
        let error = group.take_error();
        let value = match (ended.result, error) {
            // The caller's next wait will unwind all the same.
            (Err(payload), Some(error)) if payload.is::<Unwind>() => return Err(error),
            (Err(payload), error) => {
                error.inspect(GroupError::log);
                park::rethrow(payload)
            }
            (Ok(value), Some(error)) if ended.told.is_deadlock() => {
                error.log();
                value
            }
            (Ok(_), Some(error)) => return Err(error),
            (Ok(value), None) => value,
        };
        Ok(ended.told.deliver(value))
    }

    fn fail(&self, failure: Failure<E>) {
        lock(&self.failures).push(failure);
        self.scope.cancel();
    }

    fn take_error(&self) -> Option<GroupError<E>> {
        let mut failures = std::mem::take(&mut *lock(&self.failures));
        failures.extend(self.scope.take_starved().into_iter().map(Failure::NoStack));
        (!failures.is_empty()).then_some(GroupError { failures })
    }

    /// Ends the group without an error: all its tasks are cancelled, and `f` unwinds from its present or next
    /// wait. What is spawned after this never starts.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::task::TaskGroup;
    /// use std::time::Duration;
    /// # greenloom::run(|| {
    /// let result = TaskGroup::run(|group| {
    ///     drop(group.spawn(|| {
    ///         greenloom::sleep(Duration::from_millis(1));
    ///         group.cancel();
    ///         Ok::<_, std::io::Error>(())
    ///     }));
    ///     greenloom::sleep(Duration::MAX);
    ///     Ok(())
    /// });
    /// assert!(result.unwrap().is_none());
    /// # });
    /// ```
    pub fn cancel(&self) {
        self.scope.cancel();
    }

    /// Whether the group is coming to its end: it was cancelled, or a task has failed, or all but daemons are
    /// gone. What is spawned now never starts.
    pub fn is_cancelled(&self) -> bool {
        self.scope.is_cancelled()
    }

    /// Lets no more than `limit` tasks be alive at once: [`spawn`](Self::spawn) then waits for one to end.
    /// Daemons do not count.
    ///
    /// It may be changed at any time. A task of the group that spawns into it holds a place meanwhile: when
    /// all of them do so at once, none can go on.
    ///
    /// # Panics
    ///
    /// When `limit` is 0: every spawn would wait for ever.
    #[track_caller]
    pub fn set_limit(&self, limit: usize) {
        assert!(limit > 0, "a group in which no task may be alive");
        self.places.set_limit(Some(limit));
    }
}

impl<'scope, E: Send + 'scope> TaskGroup<'scope, '_, E> {
    /// Spawns a task that may borrow what outlives the group.
    ///
    /// Where the group [is cancelled](Self::is_cancelled) the task never starts.
    ///
    /// # Panics
    ///
    /// When the runtime is full; [`spawn_with`](Self::spawn_with) gives an error instead.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits for a place; `f` is dropped.
    ///
    /// # Parks
    ///
    /// While the group is at its limit (`task.group_place`), first come first served; without a limit never.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> GroupHandle<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        match self.spawn_with(Builder::new(), f) {
            Ok(handle) => handle,
            Err(error) => panic!("TaskGroup::spawn: {error}"),
        }
    }

    /// As [`spawn`](Self::spawn), with a builder's settings.
    ///
    /// # Errors
    ///
    /// As for [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_with<F, T>(
        &'scope self,
        builder: Builder,
        f: F,
    ) -> io::Result<GroupHandle<'scope, T>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let place = self.places.take("task.group_place");
        self.launch(builder, Some(place), f)
    }

    /// As [`spawn`](Self::spawn), but never waits, and spawns nothing that would not start.
    ///
    /// # Errors
    ///
    /// [`TrySpawnError`], with the closure where the group refused it.
    #[track_caller]
    pub fn try_spawn<F, T>(&'scope self, f: F) -> Result<GroupHandle<'scope, T>, TrySpawnError<F>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        if self.is_cancelled() {
            return Err(TrySpawnError::Cancelled(f));
        }
        match self.places.try_take() {
            None => Err(TrySpawnError::Full(f)),
            Some(place) => self
                .launch(Builder::new(), Some(place), f)
                .map_err(TrySpawnError::Refused),
        }
    }

    /// Spawns a task that serves the others: it is cancelled when `f` has returned and all those that are
    /// no daemons have ended. Its failure is the group's, as any other's.
    ///
    /// # Panics
    ///
    /// When the runtime is full.
    #[track_caller]
    pub fn spawn_daemon<F, T>(&'scope self, f: F) -> GroupHandle<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        match self.launch(Builder::new(), None, f) {
            Ok(handle) => handle,
            Err(error) => panic!("TaskGroup::spawn_daemon: {error}"),
        }
    }

    /// Daemons have no place.
    #[track_caller]
    fn launch<F, T>(
        &'scope self,
        builder: Builder,
        place: Option<Place<'scope>>,
        f: F,
    ) -> io::Result<GroupHandle<'scope, T>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let is_daemon = place.is_none();
        let body = move || {
            // Goes with the closure if that never runs.
            let _place = place;
            let failure = match catch_unwind(AssertUnwindSafe(f)) {
                Ok(Ok(value)) => return Some(value),
                Ok(Err(error)) => Failure::Error(error),
                Err(payload) if payload.is::<Unwind>() => park::rethrow(payload),
                Err(payload) => {
                    // A task's root: it does not unwind any more.
                    current::with_local(|local| local.map(|local| local.caught(false)));
                    Failure::Panicked(Panic::new(payload))
                }
            };
            self.fail(failure);
            None
        };
        let inner = self.scope.launch(builder, is_daemon, body)?;
        Ok(GroupHandle { inner })
    }
}

/// The right to the value of a task in a group; dropping it changes nothing.
pub struct GroupHandle<'scope, T> {
    /// `None` is the value of a task that has failed: the failure is the group's.
    inner: ScopedJoinHandle<'scope, Option<T>>,
}

impl<T> fmt::Debug for GroupHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupHandle").field(&self.inner).finish()
    }
}

impl<T> GroupHandle<'_, T> {
    /// Waits for the task to end and returns its value.
    ///
    /// Where the task has failed or the group was cancelled, this unwinds, as every wait of the group does from
    /// then on: a body may `unwrap` it. Errors are seen where nothing unwinds (inside of
    /// [`shield`](super::shield), on a plain thread), and of a task that was cancelled alone.
    ///
    /// # Errors
    ///
    /// [`GroupTaskError`].
    ///
    /// # Parks
    ///
    /// Until the task has ended (`task.join`); not at all if it has.
    #[track_caller]
    pub fn join(self) -> Result<T, GroupTaskError> {
        let outcome = self.inner.join();
        if !matches!(outcome, Ok(Some(_))) {
            // One that had ended already was not waited for.
            checkpoint();
        }
        match outcome {
            Ok(Some(value)) => Ok(value),
            Err(JoinError::Cancelled) => Err(GroupTaskError::Cancelled),
            Err(JoinError::Itself) => Err(GroupTaskError::Itself),
            Ok(None) | Err(_) => Err(GroupTaskError::Failed),
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Asks this task alone to end, which is no failure.
    pub fn cancel(&self) {
        self.inner.cancel();
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        self.inner.id()
    }

    /// The task itself.
    pub fn task(&self) -> Task {
        self.inner.task()
    }
}

/// Why a task of a group gave no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupTaskError {
    /// It failed; how, the group's error will say.
    Failed,
    /// It was cancelled, by the group or alone.
    Cancelled,
    /// A task that joins itself would wait for ever.
    Itself,
}

impl fmt::Display for GroupTaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupTaskError::Failed => "the task failed, and its group with it",
            GroupTaskError::Cancelled => "the task was cancelled",
            GroupTaskError::Itself => "a task cannot join itself: it would wait for ever",
        })
    }
}

impl Error for GroupTaskError {}

/// Why [`TaskGroup::try_spawn`] spawned nothing.
#[non_exhaustive]
pub enum TrySpawnError<F> {
    /// The group is at its limit, or others wait for a place; the closure comes back.
    Full(F),
    /// The group was cancelled or has failed; the closure comes back.
    Cancelled(F),
    /// The runtime is stopping or full.
    Refused(io::Error),
}

impl<F> TrySpawnError<F> {
    /// Whether another task has to end first.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySpawnError::Full(_))
    }

    /// Whether the group is coming to its end.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TrySpawnError::Cancelled(_))
    }
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySpawnError::Full(_) => f.write_str("Full(..)"),
            TrySpawnError::Cancelled(_) => f.write_str("Cancelled(..)"),
            TrySpawnError::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
        }
    }
}

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySpawnError::Full(_) => f.write_str("the group is at its limit"),
            TrySpawnError::Cancelled(_) => f.write_str("the group was cancelled"),
            TrySpawnError::Refused(error) => error.fmt(f),
        }
    }
}

impl<F> Error for TrySpawnError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TrySpawnError::Refused(error) => error.source(),
            _ => None,
        }
    }
}

/// One way in which a group failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<E> {
    /// A task, or the body, returned this error.
    Error(E),
    /// A task panicked.
    Panicked(Panic),
    /// A task never ran: no memory for its stack could be had.
    NoStack(io::Error),
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Error(error) => error.fmt(f),
            Failure::Panicked(panic) => write!(f, "a task panicked: {}", panic.message()),
            Failure::NoStack(error) => write!(f, "a task never ran: {error}"),
        }
    }
}

/// All failures of a group, in the order in which they occurred: one at least.
#[derive(Debug)]
pub struct GroupError<E> {
    failures: Vec<Failure<E>>,
}

impl<E> GroupError<E> {
    /// The one that cancelled the others.
    pub fn first(&self) -> &Failure<E> {
        &self.failures[0]
    }

    /// All of them.
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// All of them, by value.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// The payload of the first panic, to be thrown on with [`std::panic::resume_unwind`].
    ///
    /// # Errors
    ///
    /// Gives the error back when nothing panicked.
    pub fn into_panic(mut self) -> Result<Box<dyn Any + Send>, GroupError<E>> {
        let is_panic = |failure: &Failure<E>| matches!(failure, Failure::Panicked(_));
        match self.failures.iter().position(is_panic) {
            Some(at) => match self.failures.swap_remove(at) {
                Failure::Panicked(panic) => Ok(panic.into_payload()),
                _ => unreachable!("this is where the panic stood"),
            },
            None => Err(self),
        }
    }

    /// For failures that a panic keeps from being returned.
    fn log(&self) {
        for failure in &self.failures {
            let text = match failure {
                Failure::Error(_) => "it returned an error".to_owned(),
                Failure::Panicked(panic) => format!("it panicked: {}", panic.message()),
                Failure::NoStack(error) => format!("it never ran: {error}"),
            };
            log::error!("a task failed in a group whose own body panicked: {text}");
        }
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures.len() {
            1 => f.write_str("the group failed: ")?,
            count => write!(f, "the group failed {count} times: ")?,
        }
        for (n, failure) in self.failures.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "; " })?;
            failure.fmt(f)?;
        }
        Ok(())
    }
}

impl<E: fmt::Display + fmt::Debug> Error for GroupError<E> {}
