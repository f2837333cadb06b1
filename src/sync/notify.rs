//! A notice without a value: one is kept for whoever comes next.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait};

use super::latch::Latch;
use super::wait_list::{self, Queue, Ticket, WaitList};

/// Wakes one task or thread, or all that wait: tokio's `Notify`.
///
/// [`notify_one`](Self::notify_one) that finds nobody waiting leaves a permit, and the next
/// [`wait`](Self::wait) takes it and returns at once; permits do not add up. So a consumer that looks at its
/// queue and then waits misses nothing that was put there in between.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use greenloom::sync::Notify;
///
/// # greenloom::run(|| {
/// let notify = Arc::new(Notify::new());
/// let theirs = notify.clone();
/// let waiter = greenloom::spawn(move || theirs.wait());
/// notify.notify_one(); // before or after it waits
/// waiter.join().unwrap();
/// # });
/// ```
pub struct Notify {
    state: Latch<State>,
}

/// Inside the latch: there is no permit while somebody waits.
#[derive(Debug)]
struct State {
    has_permit: bool,
    line: WaitList<Notice>,
}

/// In a called seat: how its waiter was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// Alone: it goes to somebody else if it cannot be used.
    One,
    /// With everybody who waited.
    All,
}

impl Notify {
    /// Makes one without a permit; also for statics.
    pub const fn new() -> Self {
        Notify {
            state: Latch::new(State {
                has_permit: false,
                line: WaitList::new(),
            }),
        }
    }

    /// Notifies who has waited longest, or leaves a permit if nobody waits and there is none. Never parks.
    pub fn notify_one(&self) {
        let mut state = self.state.lock();
        let waker = state.line.call_first_with(|notice| *notice = Notice::One);
        state.has_permit |= waker.is_none();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Notifies everybody who waits now, and leaves no permit. Never parks.
    pub fn notify_waiters(&self) {
        let wakers = self.state.lock().line.call_all();
        wakers.wake();
    }

    /// Takes the permit, or waits to be notified.
    ///
    /// # Cancellation
    ///
    /// Unwinds; a notice that came for it alone goes to the next in line, or becomes a permit.
    ///
    /// # Parks
    ///
    /// While there is no permit (`sync.notify`).
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// Takes the permit if there is one. Never parks.
    pub fn try_wait(&self) -> bool {
        self.state.lock().take()
    }

    /// As [`wait`](Self::wait), but false when it was not notified within `timeout`. With a `timeout` of zero
    /// it asks once.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let notify = greenloom::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notify_one();
    /// assert!(notify.wait_timeout(Duration::ZERO));
    /// assert!(!notify.wait_timeout(Duration::from_millis(1)));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.try_wait() || (!timeout.is_zero() && self.wait_until(park::deadline(timeout)))
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        if state.take() {
            return true;
        }
        let ticket = state.line.join(Notice::All);
        drop(state);
        let wait = Wait::new("sync.notify").on(self).until(deadline);
        wait_list::wait(Waiting(self), ticket, &wait)
    }
}

impl State {
    fn take(&mut self) -> bool {
        std::mem::take(&mut self.has_permit)
    }
}

/// The notify as seen by one that waits.
struct Waiting<'a>(&'a Notify);

impl Queue for Waiting<'_> {
    /// Whether it was notified.
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let line = &mut self.0.state.lock().line;
        (line.is_called(ticket) || is_late).then(|| line.leave(ticket).is_called)
    }

    fn abandon(&self, ticket: &Ticket) {
        let left = self.0.state.lock().line.leave(ticket);
        if left.is_called && left.payload == Notice::One {
            self.0.notify_one();
        }
    }
}

impl Describe for Notify {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Notify that nobody notifies")
    }
}

impl UnwindSafe for Notify {}
impl RefUnwindSafe for Notify {}

impl Default for Notify {
    fn default() -> Self {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("has_permit", &self.state.lock().has_permit)
            .finish_non_exhaustive()
    }
}
