//! The running thread, green or not: who it is, and how it waits for a word.

use std::thread as os;
use std::time::Duration;

use crate::scheduler::park as door;
use crate::task::{self, Task, TaskId};

/// A thread, green or of the OS, to be named, compared or unparked: [`std::thread::Thread`].
#[derive(Clone, Debug)]
pub struct Thread(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Task(Task),
    Os(os::Thread),
}

/// What tells a thread from all others of the process: [`std::thread::ThreadId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId(Number);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Number {
    Task(TaskId),
    Os(os::ThreadId),
}

impl Thread {
    pub(super) fn of(task: Task) -> Self {
        Thread(Kind::Task(task))
    }

    /// Its number, never used again.
    pub fn id(&self) -> ThreadId {
        ThreadId(match &self.0 {
            Kind::Task(task) => Number::Task(task.id()),
            Kind::Os(thread) => Number::Os(thread.id()),
        })
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Task(task) => task.name(),
            Kind::Os(thread) => thread.name(),
        }
    }

    /// Lets its present or next [`park`] return; tokens do not add up.
    pub fn unpark(&self) {
        match &self.0 {
            Kind::Task(task) => task.unpark(),
            Kind::Os(thread) => thread.unpark(),
        }
    }

    /// The task that it is; `None` when it is a thread of the OS.
    pub fn as_task(&self) -> Option<&Task> {
        match &self.0 {
            Kind::Task(task) => Some(task),
            Kind::Os(_) => None,
        }
    }
}

/// The running thread.
///
/// # Examples
///
/// ```
/// use greenloom::thread;
/// let named = thread::Builder::new().name("teller".into());
/// let worker = named.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
/// assert_eq!(worker.join().unwrap().as_deref(), Some("teller"));
/// ```
pub fn current() -> Thread {
    Thread(match task::try_current() {
        Some(task) => Kind::Task(task),
        None => Kind::Os(os::current()),
    })
}

/// Waits until somebody calls [`Thread::unpark`] on this thread; returns at once if somebody has since
/// the last `park`.
///
/// # Cancellation
///
/// Unwinds a green thread; a token that came meanwhile stays.
///
/// # Parks
///
/// Until unparked (`task.park`).
#[track_caller]
pub fn park() {
    match task::try_current() {
        Some(_) => task::park(),
        #[expect(clippy::disallowed_methods, reason = "no task runs here")]
        None => os::park(),
    }
}

/// As [`park`], but returns after `timeout` in any case.
#[track_caller]
pub fn park_timeout(timeout: Duration) {
    match task::try_current() {
        Some(_) => {
            let _is_unparked = task::park_timeout(timeout);
        }
        #[expect(clippy::disallowed_methods, reason = "no task runs here")]
        None => os::park_timeout(timeout),
    }
}

/// Whether a panic of its own unwinds this thread; a cancellation does not count, and neither does the panic
/// of another green thread that waits in a destructor on the same OS thread.
pub fn panicking() -> bool {
    door::is_panicking()
}
