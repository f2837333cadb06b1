//! Waiting for a number of things to be done.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait};

use super::latch::Latch;
use super::wait_list::{self, Queue, Ticket, WaitList, Wakers};

/// Counts what is still to be done, and lets wait for it: Go's `sync.WaitGroup`.
///
/// [`worker`](Self::worker) and [`worker_owned`](Self::worker_owned) give a token that counts for as long as it
/// lives, so that a task that panics or is cancelled is done as well. [`add`](Self::add) and
/// [`done`](Self::done) are Go's, by hand.
///
/// It may be used again and again: those who wait when the count falls to zero go on, even if it rises before
/// they have had a look.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use greenloom::sync::WaitGroup;
///
/// # greenloom::run(|| {
/// let group = Arc::new(WaitGroup::new());
/// for n in 0..10 {
///     let token = group.worker_owned();
///     greenloom::spawn(move || {
///         let _token = token;
///         assert!(n < 10); // the work
///     });
/// }
/// group.wait();
/// assert_eq!(group.count(), 0);
/// # });
/// ```
pub struct WaitGroup {
    state: Latch<State>,
}

/// Inside the latch: nobody waits while the count is zero.
#[derive(Debug)]
struct State {
    count: usize,
    line: WaitList<()>,
}

/// One thing that a [`WaitGroup`] waits for: done when dropped.
#[must_use = "it is done when its token is dropped"]
#[derive(Debug)]
pub struct WaitToken<'a> {
    group: &'a WaitGroup,
}

/// As [`WaitToken`], for a task of its own: it keeps the group alive.
#[must_use = "it is done when its token is dropped"]
#[derive(Debug)]
pub struct OwnedWaitToken {
    group: Arc<WaitGroup>,
}

impl WaitGroup {
    /// Makes one with nothing to wait for; also for statics.
    pub const fn new() -> Self {
        WaitGroup {
            state: Latch::new(State {
                count: 0,
                line: WaitList::new(),
            }),
        }
    }

    /// Counts one thing more, for as long as the token lives. For tasks of a [`scope`](crate::scope).
    #[track_caller]
    pub fn worker(&self) -> WaitToken<'_> {
        self.add(1);
        WaitToken { group: self }
    }

    /// As [`worker`](Self::worker), with a token that may go anywhere.
    #[track_caller]
    pub fn worker_owned(self: &Arc<Self>) -> OwnedWaitToken {
        self.add(1);
        OwnedWaitToken {
            group: self.clone(),
        }
    }

    /// Counts so many things more; each is to be followed by a [`done`](Self::done). Never parks.
    ///
    /// Before the work is handed out, not in it: else a [`wait`](Self::wait) may come before.
    ///
    /// # Panics
    ///
    /// Above `usize::MAX`.
    #[track_caller]
    pub fn add(&self, things: usize) {
        let sum = self.state.lock().add(things);
        assert!(sum.is_some(), "more than a WaitGroup can count");
    }

    /// One thing that was [added](Self::add) is done. Never parks.
    ///
    /// # Panics
    ///
    /// When all that was added is done already: Go's "negative counter". The group is as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// let group = greenloom::sync::WaitGroup::new();
    /// group.add(2);
    /// group.done();
    /// group.done();
    /// group.wait();
    /// assert!(std::panic::catch_unwind(|| group.done()).is_err());
    /// ```
    #[track_caller]
    pub fn done(&self) {
        let wakers = self.state.lock().subtract();
        match wakers {
            Some(wakers) => wakers.wake(),
            None => panic!("WaitGroup::done more often than was added"),
        }
    }

    /// How many things are still to be done.
    pub fn count(&self) -> usize {
        self.state.lock().count
    }

    /// Waits until nothing is to be done any more; returns at once if there is nothing.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// While something is to be done (`sync.wait_group`).
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// As [`wait`](Self::wait), but false when something was still to be done after `timeout`. With a `timeout`
    /// of zero it asks once.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        if timeout.is_zero() {
            return self.count() == 0;
        }
        self.wait_until(park::deadline(timeout))
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        if state.count == 0 {
            return true;
        }
        let ticket = state.line.join(());
        drop(state);
        let wait = Wait::new("sync.wait_group").on(self).until(deadline);
        wait_list::wait(self, ticket, &wait)
    }
}

impl State {
    fn add(&mut self, things: usize) -> Option<usize> {
        let sum = self.count.checked_add(things);
        self.count = sum.unwrap_or(self.count);
        sum
    }

    /// `None`: there was nothing to be done.
    fn subtract(&mut self) -> Option<Wakers> {
        self.count = self.count.checked_sub(1)?;
        Some(match self.count {
            0 => self.line.call_all(),
            _ => Wakers::new(),
        })
    }
}

impl Queue for &WaitGroup {
    /// Whether all was done.
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let line = &mut self.state.lock().line;
        (line.is_called(ticket) || is_late).then(|| line.leave(ticket).is_called)
    }

    fn abandon(&self, ticket: &Ticket) {
        let _ = self.state.lock().line.leave(ticket);
    }
}

impl WaitGroup {
    /// A token's drop: it may come in an unwinding, so it does not panic, should others have been done too
    /// often.
    fn token_done(&self) {
        let wakers = self.state.lock().subtract();
        if let Some(wakers) = wakers {
            wakers.wake();
        }
    }
}

impl Drop for WaitToken<'_> {
    fn drop(&mut self) {
        self.group.token_done();
    }
}

impl Drop for OwnedWaitToken {
    fn drop(&mut self) {
        self.group.token_done();
    }
}

impl Describe for WaitGroup {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a WaitGroup with {} still to be done", self.count())
    }
}

impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

impl Default for WaitGroup {
    fn default() -> Self {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
