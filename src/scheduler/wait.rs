//! What a wait is: its reason, what it is for, its deadline, and how it ended.

use std::fmt;
use std::panic::Location;

use crate::base::clock::Deadline;

/// What can say what it is and who holds it, for dumps and deadlock reports.
pub(crate) trait Describe {
    /// A few words, such as `a Mutex<i32>`.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Who keeps others waiting, if that is known: the words that lead to it, such as ` held by `, and who.
    fn holder(&self) -> Option<(&'static str, Holder)> {
        None
    }
}

/// Who has something that others wait for, and where it was taken. Two plain words to write: what a lock
/// can afford each time that it is taken. The report finds the name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    /// The number of a task; 0 for a plain thread.
    pub(crate) task: u64,
    pub(crate) since: Option<&'static Location<'static>>,
}

impl Holder {
    pub(crate) const NOBODY: Holder = Holder {
        task: 0,
        since: None,
    };
}

/// So many of something, in words: `1 sender`, `2 senders`.
pub(crate) struct Count(pub(crate) usize, pub(crate) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count(count, of) = self;
        write!(f, "{count} {of}{}", if *count == 1 { "" } else { "s" })
    }
}

/// What a wait is for. Lives on the stack of whoever waits.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'a> {
    /// `wing.verb`, one for each place.
    pub(crate) reason: &'static str,
    pub(crate) object: Option<&'a dyn Describe>,
    pub(crate) deadline: Deadline,
    /// Nothing unwinds it: a deadlock report is kept until it is asked for.
    pub(crate) is_firm: bool,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(reason: &'static str) -> Self {
        Wait {
            reason,
            object: None,
            deadline: Deadline::NEVER,
            is_firm: false,
        }
    }

    /// For a wait that must be over before the caller's frames may go: of what would unwind it, the
    /// caller shields cancellations, and takes the deadlock report from `Local::take_report` itself.
    pub(crate) fn firm(mut self) -> Self {
        self.is_firm = true;
        self
    }

    pub(crate) fn on(mut self, object: &'a dyn Describe) -> Self {
        self.object = Some(object);
        self
    }

    pub(crate) fn until(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }
}

/// Why a park returned.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A waker was used; perhaps one from an earlier wait: look again.
    Woken,
    /// The wait's own deadline has passed. A wake may have come as well: look once more.
    TimedOut,
}

/// Why a task unwinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwinding {
    Panic,
    Cancellation,
}
