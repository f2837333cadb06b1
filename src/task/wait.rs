//! Waiting for several tasks: for all, for the first, or for each as it ends.
//!
//! Each task is given a bell, a waker of its own that writes the task's place into a list and then wakes
//! whoever waits. So the list has the order in which the tasks ended, and no end costs a look at all tasks.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{self, Waker};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::base::primitive::{Mutex, MutexGuard, lock};
use crate::scheduler::park::{self, Describe, Wait, Wake};

use super::join::JoinError;

pub(super) mod sealed {
    use std::fmt;
    use std::task::Waker;

    /// What the waits of this file ask of a handle.
    pub trait Sealed {
        /// Has the waker used at the task's end; true when that has come already.
        fn announce(&mut self, waker: Waker) -> bool;
        fn has_ended(&self) -> bool;
        /// It has ended by a panic, or could not start.
        fn has_failed(&mut self) -> bool;
        fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    }
}

/// The right to wait for a task: [`JoinHandle`](super::JoinHandle) and
/// [`ScopedJoinHandle`](super::ScopedJoinHandle).
pub trait Joinable: sealed::Sealed {
    /// What the task comes to.
    type Value;

    /// Waits for the task to end and returns its value.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    fn join(self) -> Result<Self::Value, JoinError>;
}

/// Where bells are heard.
#[derive(Debug, Default)]
struct Belfry {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Places of tasks that have ended and were not yet given out, first ended first.
    rung: VecDeque<usize>,
    /// Who waits for the next.
    waiting: Option<Waker>,
}

impl Belfry {
    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    fn ring(&self, place: usize) {
        let waiting = {
            let mut book = self.book();
            book.rung.push_back(place);
            book.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

struct Bell {
    belfry: Arc<Belfry>,
    place: usize,
}

impl task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.belfry.ring(self.place);
    }
}

/// Tasks in the order in which they end: see [`as_completed`].
#[must_use = "an iterator waits for nothing unless it is asked"]
pub struct AsCompleted<H> {
    /// `None` once given out.
    handles: Vec<Option<H>>,
    left: usize,
    belfry: Arc<Belfry>,
}

impl<H> fmt::Debug for AsCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .field("of", &self.handles.len())
            .finish_non_exhaustive()
    }
}

/// Gives the handles back one by one, each when its task has ended: those that have ended before first,
/// in the order given, then the others in the order of their ends.
///
/// As Python's `as_completed`. Dropping it midway detaches the tasks that are left, as dropping their handles does;
/// [`AsCompleted::into_pending`] gives them back.
///
/// # Cancellation
///
/// `next` unwinds; the tasks that are left go on detached when the iterator is dropped by that.
///
/// # Parks
///
/// In `next`, while none has ended (`task.wait`).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let order = greenloom::Runtime::builder().virtual_clock().run(|| {
///     let tasks = [3, 1, 2].map(|n| greenloom::spawn(move || {
///         greenloom::sleep(Duration::from_secs(n));
///         n
///     }));
///     greenloom::task::as_completed(tasks).map(|task| task.join().unwrap()).collect::<Vec<_>>()
/// });
/// assert_eq!(order.unwrap(), [1, 2, 3]);
/// ```
pub fn as_completed<H: Joinable>(handles: impl IntoIterator<Item = H>) -> AsCompleted<H> {
    let mut handles: Vec<Option<H>> = handles.into_iter().map(Some).collect();
    let belfry: Arc<Belfry> = Arc::default();
    let places = handles.iter_mut().enumerate();
    let mut pending = Vec::new();
    // Before any bell can ring, so that these come first.
    for (place, handle) in places {
        match handle {
            Some(handle) if !handle.has_ended() => pending.push((place, handle)),
            _ => belfry.ring(place),
        }
    }
    for (place, handle) in pending {
        let bell = Bell {
            belfry: belfry.clone(),
            place,
        };
        if handle.announce(Waker::from(Arc::new(bell))) {
            belfry.ring(place);
        }
    }
    AsCompleted {
        left: handles.len(),
        handles,
        belfry,
    }
}

impl<H: Joinable> AsCompleted<H> {
    /// As `next`, but gives up when none has ended within `timeout`.
    ///
    /// # Errors
    ///
    /// [`Unfinished`]; the iterator may be used further.
    #[track_caller]
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<H>, Unfinished> {
        let deadline = match timeout {
            Duration::ZERO => Deadline::PASSED,
            timeout => park::deadline(timeout),
        };
        match self.next_by(deadline) {
            Some((_, handle)) => Ok(Some(handle)),
            None if self.left == 0 => Ok(None),
            None => Err(Unfinished {
                pending: self.left,
                total: self.handles.len(),
            }),
        }
    }

    /// The handles that were not given out, in the order in which they came here.
    pub fn into_pending(self) -> Vec<H> {
        self.handles.into_iter().flatten().collect()
    }

    /// The next to end and its place; `None` when all are given out, or the deadline has passed.
    /// [`Deadline::PASSED`] does not wait.
    #[track_caller]
    pub(super) fn next_by(&mut self, deadline: Deadline) -> Option<(usize, H)> {
        let mut is_late = deadline == Deadline::PASSED;
        while self.left > 0 {
            let rung = {
                let mut book = self.belfry.book();
                let rung = book.rung.pop_front();
                book.waiting = rung.is_none().then(park::current_waker);
                rung
            };
            if let Some(place) = rung {
                let handle = self.handles[place].take()?;
                self.left -= 1;
                return Some((place, handle));
            }
            if is_late {
                break;
            }
            let wait = Wait::new("task.wait").on(&*self).until(deadline);
            is_late = park::park(&wait) == Wake::TimedOut;
        }
        None
    }
}

impl<H: Joinable> Iterator for AsCompleted<H> {
    type Item = H;

    #[track_caller]
    fn next(&mut self) -> Option<H> {
        self.next_by(Deadline::NEVER).map(|(_, handle)| handle)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<H: Joinable> ExactSizeIterator for AsCompleted<H> {}
impl<H: Joinable> FusedIterator for AsCompleted<H> {}

impl<H: Joinable> Describe for AsCompleted<H> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        write!(f, "the first to end of {}: ", self.left)?;
        let mut pending = self.handles.iter().flatten();
        for (n, handle) in pending.by_ref().take(SHOWN).enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            handle.describe(f)?;
        }
        match pending.count() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// The time was over, and some tasks had not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pending: usize,
    total: usize,
}

impl Unfinished {
    /// How many have not ended, or were not given out.
    pub fn pending(&self) -> usize {
        self.pending
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (of {}) tasks unfinished", self.pending, self.total)
    }
}

impl Error for Unfinished {}

/// When a [`wait`] for several tasks is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// One has ended.
    First,
    /// One has panicked, or could not start; or all have ended. A cancelled one is no error.
    FirstError,
    /// So many have ended, or all.
    Count(usize),
    /// All have ended.
    All,
}

/// Waits until as many of the tasks have ended as is said; returns those that have, in the order of their
/// ends, and the others in the order given.
///
/// Nobody is cancelled. With no tasks at all it returns at once. All that have ended by then are in the first list,
/// also those beyond what was waited for. As asyncio's `wait`, and gevent's `joinall` with a count.
///
/// # Cancellation
///
/// Unwinds; the handles are dropped, so the tasks go on detached.
///
/// # Parks
///
/// Until it is over (`task.wait`); not at all if it is.
///
/// # Examples
///
/// ```
/// use greenloom::task::{Until, wait};
/// use std::time::Duration;
/// greenloom::Runtime::builder().virtual_clock().run(|| {
///     let tasks = [3, 1, 2].map(|n| greenloom::spawn(move || {
///         greenloom::sleep(Duration::from_secs(n));
///         n
///     }));
///     let (mut done, pending) = wait(tasks, Until::First);
///     assert_eq!(done.pop().unwrap().join().unwrap(), 1);
///     assert_eq!(pending.len(), 2);
/// }).unwrap();
/// ```
#[track_caller]
pub fn wait<H: Joinable>(handles: impl IntoIterator<Item = H>, until: Until) -> (Vec<H>, Vec<H>) {
    wait_by(handles, until, Deadline::NEVER)
}

/// As [`wait`], but no longer than `timeout`; zero only asks.
#[track_caller]
pub fn wait_timeout<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    until: Until,
    timeout: Duration,
) -> (Vec<H>, Vec<H>) {
    let deadline = match timeout {
        Duration::ZERO => Deadline::PASSED,
        timeout => park::deadline(timeout),
    };
    wait_by(handles, until, deadline)
}

#[track_caller]
fn wait_by<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    until: Until,
    deadline: Deadline,
) -> (Vec<H>, Vec<H>) {
    let mut tasks = as_completed(handles);
    let mut done = Vec::new();
    let mut deadline = match until {
        Until::Count(0) => Deadline::PASSED,
        _ => deadline,
    };
    while let Some((_, mut handle)) = tasks.next_by(deadline) {
        let is_over = match until {
            Until::First => true,
            Until::FirstError => handle.has_failed(),
            Until::Count(count) => done.len() + 1 >= count,
            Until::All => false,
        };
        done.push(handle);
        if is_over {
            // What has ended by now comes along.
            deadline = Deadline::PASSED;
        }
    }
    (done, tasks.into_pending())
}

/// Waits for all tasks; returns what each came to, in the order given.
///
/// # Cancellation
///
/// Unwinds; the handles are dropped, so the tasks go on detached.
///
/// # Parks
///
/// Until the last has ended (`task.join`).
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let tasks = [1, 2, 3].map(|n| greenloom::spawn(move || 6 / (3 - n)));
/// let results = greenloom::task::join_all(tasks);
/// assert_eq!(*results[1].as_ref().unwrap(), 6);
/// assert!(results[2].as_ref().unwrap_err().is_panic());
/// # });
/// ```
#[track_caller]
pub fn join_all<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
) -> Vec<Result<H::Value, JoinError>> {
    let handles: Vec<H> = handles.into_iter().collect();
    let mut outcomes = Vec::with_capacity(handles.len());
    // No closure round the wait: it would not know the caller's line.
    for handle in handles {
        outcomes.push(handle.join());
    }
    outcomes
}

/// Waits for all tasks and returns their values in the order given, or the first error as soon as it occurs.
///
/// The others then go on detached, as with asyncio's `gather`; to have them cancelled, spawn them in a
/// [`TaskGroup`](super::TaskGroup).
///
/// # Errors
///
/// The first [`JoinError`] to occur.
///
/// # Cancellation
///
/// Unwinds; the handles are dropped, so the tasks go on detached.
///
/// # Parks
///
/// Until the last has ended, or the first has failed (`task.wait`).
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let tasks = [1, 2, 3].map(|n| greenloom::spawn(move || n * n));
/// assert_eq!(greenloom::task::try_join_all(tasks).unwrap(), [1, 4, 9]);
/// # });
/// ```
#[track_caller]
pub fn try_join_all<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
) -> Result<Vec<H::Value>, JoinError> {
    let mut tasks = as_completed(handles);
    let mut values: Vec<Option<H::Value>> = Vec::new();
    values.resize_with(tasks.len(), || None);
    while let Some((place, handle)) = tasks.next_by(Deadline::NEVER) {
        values[place] = Some(handle.join()?);
    }
    Ok(values.into_iter().flatten().collect())
}
