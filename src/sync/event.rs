//! A flag that can be waited for.

use std::fmt;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::base::primitive::{AtomicBool, Ordering};
use crate::scheduler::park::{self, Describe, Wait};
use crate::task::claim::Stake;
use crate::task::select::{Operation, Sealed, Stand, Stood, Waitable};

use super::latch::Latch;
use super::wait_list::{self, Queue, Ticket, WaitList, Wakers};

/// A flag: set once, or again and again, and all who wait for it go on.
///
/// As Python's `threading.Event`, for green threads and plain threads.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use greenloom::sync::Event;
///
/// # greenloom::run(|| {
/// let ready = Arc::new(Event::new());
/// let theirs = ready.clone();
/// let task = greenloom::spawn(move || {
///     theirs.wait();
///     "off we go"
/// });
/// ready.set();
/// assert_eq!(task.join().unwrap(), "off we go");
/// # });
/// ```
#[derive(Debug)]
pub struct Event {
    /// Changed inside the latch, so that whoever joins the line has seen it clear; read anywhere.
    is_set: AtomicBool,
    line: Latch<WaitList<()>>,
}

impl Event {
    /// Makes an event that is not set; also for statics.
    pub const fn new() -> Self {
        Event {
            is_set: AtomicBool::new(false),
            line: Latch::new(WaitList::new()),
        }
    }

    /// Whether it is set. What happened before `set` is seen by who is told so.
    #[inline]
    pub fn is_set(&self) -> bool {
        // Acquire: pairs with `set`.
        self.is_set.load(Ordering::Acquire)
    }

    /// Sets it: all who wait go on, in the order in which they came, and whoever comes goes by.
    ///
    /// Never parks.
    pub fn set(&self) {
        self.set_and_call().wake();
    }

    fn set_and_call(&self) -> Wakers {
        let mut line = self.line.lock();
        // Release: pairs with `is_set`.
        self.is_set.store(true, Ordering::Release);
        line.call_all()
    }

    /// Takes it back. Those who were waiting when it was set go on all the same.
    ///
    /// Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenloom::sync::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        let _line = self.line.lock();
        self.is_set.store(false, Ordering::Release);
    }

    /// Waits until it is set; returns at once if it is.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// While it is not set (`sync.event`).
    #[track_caller]
    #[inline]
    pub fn wait(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// As [`wait`](Self::wait), but false when it was not set within `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let event = greenloom::sync::Event::new();
    /// assert!(!event.wait_timeout(Duration::from_millis(1)));
    /// event.set();
    /// assert!(event.wait_timeout(Duration::ZERO));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_set() || (!timeout.is_zero() && self.wait_until(park::deadline(timeout)))
    }

    fn abandon_seat(&self, ticket: &Ticket) {
        let _ = self.line.lock().leave(ticket);
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> bool {
        if self.is_set() {
            return true;
        }
        let mut line = self.line.lock();
        // Again, inside: a `set` in between called the line before we joined it.
        if self.is_set() {
            return true;
        }
        let ticket = line.join(());
        drop(line);
        let wait = Wait::new("sync.event").on(self).until(deadline);
        wait_list::wait(self, ticket, &wait)
    }
}

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}

impl Queue for &Event {
    /// Whether it was set.
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let mut line = self.line.lock();
        let is_called = line.is_called(ticket);
        (is_called || is_late).then(|| line.leave(ticket).is_called)
    }

    fn abandon(&self, ticket: &Ticket) {
        self.abandon_seat(ticket);
    }
}

/// A wait for an [`Event`] that a select may do. Made by [`select::wait`](crate::select::wait).
#[must_use = "it does nothing by itself"]
#[derive(Debug)]
pub struct EventArm<'a> {
    event: &'a Event,
    ticket: Option<Ticket>,
    was_set: bool,
}

impl EventArm<'_> {
    /// Something when this arm was chosen; once.
    pub fn take(&mut self) -> Option<()> {
        std::mem::take(&mut self.was_set).then_some(())
    }
}

impl Sealed for Event {}

impl Waitable for Event {
    type Passed = ();
    type WaitArm<'a> = EventArm<'a>;

    fn wait_arm(&self) -> EventArm<'_> {
        EventArm {
            event: self,
            ticket: None,
            was_set: false,
        }
    }
}

impl Operation for EventArm<'_> {
    type Output = ();

    fn take(&mut self) -> Option<()> {
        EventArm::take(self)
    }
}

impl Stand for EventArm<'_> {
    fn place(&self) -> usize {
        std::ptr::from_ref(self.event).addr()
    }

    fn attempt(&mut self) -> bool {
        self.was_set = self.event.is_set();
        self.was_set
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        let mut line = self.event.line.lock();
        if !stake.busy() {
            return Stood::Gone;
        }
        self.was_set = self.event.is_set();
        if self.was_set {
            stake.end();
            return Stood::Done;
        }
        self.ticket = Some(line.join_as(stake, ()));
        stake.idle();
        Stood::Seated
    }

    fn settle(&mut self) {
        self.leave();
        self.was_set = true;
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.event.abandon_seat(&ticket);
        }
    }

    fn abandon(&mut self) {
        self.leave();
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.event.describe(f)
    }
}

impl Describe for Event {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Event that nobody has set")
    }
}
