//! The running task: who it is, and its plainest waits.

use std::fmt;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::current as here;
use crate::scheduler::header::TaskId;
use crate::scheduler::packet;
use crate::scheduler::park::{self as door, Wait, Wake};
use crate::scheduler::task::TaskRef;

/// A task, to be named, compared or unparked.
#[derive(Clone)]
pub struct Task {
    task: TaskRef,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}

impl Task {
    pub(crate) fn new(task: TaskRef) -> Self {
        Task { task }
    }

    /// Its number.
    pub fn id(&self) -> TaskId {
        self.task.id
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.task.spec.name.as_ref().map(|name| name.as_str())
    }

    /// Asks the task to end, as [`JoinHandle::cancel`](super::JoinHandle::cancel) does, by whoever knows it; also of
    /// itself, from its next wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let task = greenloom::spawn(|| {
    ///     greenloom::current().cancel();
    ///     greenloom::yield_now();
    /// });
    /// assert!(task.join().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn cancel(&self) {
        packet::cancel(&self.task);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.task.fate().is_complete()
    }

    /// Lets the task's present or next [`park`] return; tokens do not add up.
    pub fn unpark(&self) {
        packet::unpark(&self.task);
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Task) -> bool {
        self.task.same(&other.task)
    }
}

impl Eq for Task {}

/// The running task.
///
/// # Panics
///
/// Where no task runs; [`try_current`] gives `None` there.
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// assert_eq!(greenloom::current().name(), Some("main"));
/// # });
/// ```
#[track_caller]
pub fn current() -> Task {
    try_current().expect("greenloom::current() where no task runs")
}

/// The running task, or `None` on a plain thread.
pub fn try_current() -> Option<Task> {
    here::with_local(|local| local.map(|local| Task::new(local.task.clone())))
}

/// Lets every other task that is ready run before it goes on; on a plain thread, lets the OS choose.
///
/// # Cancellation
///
/// Unwinds.
///
/// # Parks
///
/// Always, but not for longer than one round of the ready tasks.
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let task = greenloom::spawn(|| 1);
/// greenloom::yield_now();
/// assert!(task.is_finished());
/// # });
/// ```
#[track_caller]
#[inline(always)]
pub fn yield_now() {
    door::yield_now();
}

/// Waits until somebody calls [`Task::unpark`] on this task; returns at once if somebody has since the
/// last `park`.
///
/// As [`std::thread::park`], but it never returns without a reason.
///
/// # Panics
///
/// Where no task runs.
///
/// # Cancellation
///
/// Unwinds; a token that came meanwhile stays.
///
/// # Parks
///
/// Until unparked (`task.park`).
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let me = greenloom::current();
/// greenloom::spawn(move || me.unpark());
/// greenloom::park();
/// # });
/// ```
#[track_caller]
pub fn park() {
    park_until(Deadline::NEVER);
}

/// As [`park`], but returns false when nobody came within `timeout`.
///
/// # Panics
///
/// Where no task runs.
#[track_caller]
pub fn park_timeout(timeout: Duration) -> bool {
    park_until(door::deadline(timeout))
}

#[track_caller]
fn park_until(deadline: Deadline) -> bool {
    let task = try_current()
        .expect("greenloom::park where no task runs: use std::thread::park")
        .task;
    let wait = Wait::new("task.park").until(deadline);
    loop {
        if task.take_token() {
            return true;
        }
        if door::park(&wait) == Wake::TimedOut {
            return task.take_token();
        }
    }
}

/// Sleeps by the clock of the place: the body of `spawn_after`, which stands below `time::sleep`.
#[track_caller]
pub(crate) fn sleep_for(duration: Duration) {
    sleep_until(door::deadline(duration));
}

/// Sleeps until the deadline; one that has passed is one yield.
#[track_caller]
#[inline]
pub(crate) fn sleep_until(deadline: Deadline) {
    if deadline.is_due(door::now()) {
        return door::yield_now();
    }
    let wait = Wait::new("time.sleep").until(deadline);
    while door::park(&wait) == Wake::Woken {}
}
