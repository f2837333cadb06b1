//! Waiting, with a mutex in hand, until somebody says that the value has changed.

use std::fmt::{self, Display};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait};

use super::kind::Kind;
use super::latch::Latch;
use super::mutex::MutexGuard;
use super::wait_list::{self, Queue, Ticket, WaitList};

/// [`std::sync::Condvar`] for our [`Mutex`](super::Mutex), for green threads and plain threads.
///
/// Waiters are notified in the order in which they came. One that was notified has its turn even if its time
/// is over in the same moment. One that is cancelled after it was notified by [`notify_one`](Self::notify_one)
/// notifies the next: no notice is lost.
///
/// Other than std's, one condvar may be used with several mutexes at a time: each waiter gets its own back.
/// std allows itself to panic then.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use greenloom::sync::{Condvar, Mutex};
///
/// # greenloom::run(|| {
/// let pair = Arc::new((Mutex::new(false), Condvar::new()));
/// let theirs = pair.clone();
/// greenloom::spawn(move || {
///     *theirs.0.lock().unwrap() = true;
///     theirs.1.notify_one();
/// });
/// let (mutex, condvar) = &*pair;
/// let is_ready = condvar
///     .wait_while(mutex.lock().unwrap(), |is_ready| !*is_ready)
///     .unwrap();
/// assert!(*is_ready);
/// # });
/// ```
pub struct Condvar {
    line: Latch<WaitList<Notice>>,
}

/// In a called seat: how its waiter was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// Alone: the notice goes to somebody else if it cannot be used.
    One,
    /// With everybody who waited.
    All,
}

/// Whether a timed wait on a [`Condvar`] ended because its time was over.
///
/// As std's, which only std can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

/// The condvar as seen by one who waits.
struct Waiting<'a>(&'a Condvar);

/// What one who waits says of it.
struct Wanted(Kind);

/// A notice in hand, while the mutex is taken again.
struct InHand<'a>(&'a Condvar);

impl Drop for InHand<'_> {
    /// The waiter unwinds.
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Condvar {
    /// Makes one that nobody waits for; also for statics.
    pub const fn new() -> Self {
        Condvar {
            line: Latch::new(WaitList::new()),
        }
    }

    /// Unlocks the mutex, waits to be notified, and locks it again. No notice that is given after the unlocking
    /// is missed.
    ///
    /// It returns when it was notified and not otherwise; but by then somebody else may have had the mutex, so
    /// look at the condition again, or use [`wait_while`](Self::wait_while).
    ///
    /// # Errors
    ///
    /// When the mutex is poisoned once it is locked again; the guard is inside the error.
    ///
    /// # Cancellation
    ///
    /// Unwinds, while it waits for the notice or for the mutex. The guard was given away, so destructors
    /// further out do not see it; the mutex is not locked again for them. A notice goes to the next in line.
    ///
    /// # Parks
    ///
    /// Until notified (`sync.condvar`), then while somebody else has the mutex (`sync.mutex`).
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, Deadline::NEVER).0
    }

    /// Waits as long as the condition is true of the value; does not wait if it is false at first.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for no longer than `timeout`; locking the mutex again takes as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::sync::{Condvar, Mutex};
    ///
    /// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    /// let guard = mutex.lock().unwrap();
    /// let (_guard, result) = condvar.wait_timeout(guard, Duration::from_millis(1)).unwrap();
    /// assert!(result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, is_notified) = self.wait_until(guard, park::deadline(timeout));
        paired(guard, WaitTimeoutResult(!is_notified))
    }

    /// As [`wait_while`](Self::wait_while), for no longer than `timeout` in all. The result says that the time
    /// was over if the condition was still true then.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = park::deadline(timeout);
        while condition(&mut *guard) {
            if deadline.is_due(park::now()) {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let (again, is_notified) = self.wait_until(guard, deadline);
            guard = match again {
                Ok(guard) => guard,
                poisoned => return paired(poisoned, WaitTimeoutResult(!is_notified)),
            };
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Notifies who has waited longest, if anybody waits. Never parks.
    ///
    /// The mutex need not be locked; when it is, whoever is notified waits for it.
    pub fn notify_one(&self) {
        let waker = self
            .line
            .lock()
            .call_first_with(|notice| *notice = Notice::One);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Notifies everybody who waits. Never parks.
    pub fn notify_all(&self) {
        let wakers = self.line.lock().call_all();
        wakers.wake();
    }

    /// The guard, and whether it was notified.
    #[track_caller]
    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> (LockResult<MutexGuard<'a, T>>, bool) {
        // Before the mutex is left: who changes the value finds us in the line.
        let ticket = self.line.lock().join(Notice::All);
        let released = guard.release();
        let wanted = Wanted(released.kind());
        let wait = Wait::new("sync.condvar").on(&wanted).until(deadline);
        let notice = wait_list::wait(Waiting(self), ticket, &wait);
        let in_hand = (notice == Some(Notice::One)).then(|| InHand(self));
        let guard = released.relock();
        std::mem::forget(in_hand);
        (guard, notice.is_some())
    }
}

fn paired<G>(
    guard: LockResult<G>,
    result: WaitTimeoutResult,
) -> LockResult<(G, WaitTimeoutResult)> {
    match guard {
        Ok(guard) => Ok((guard, result)),
        Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), result))),
    }
}

impl Queue for Waiting<'_> {
    /// `None`: the time was over.
    type Outcome = Option<Notice>;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Option<Notice>> {
        let mut line = self.0.line.lock();
        (line.is_called(ticket) || is_late).then(|| {
            let left = line.leave(ticket);
            left.is_called.then_some(left.payload)
        })
    }

    fn abandon(&self, ticket: &Ticket) {
        let left = self.0.line.lock().leave(ticket);
        if left.is_called && left.payload == Notice::One {
            self.0.notify_one();
        }
    }
}

impl Describe for Wanted {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Condvar that nobody notifies, with ")?;
        self.0.fmt(f)
    }
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

impl Default for Condvar {
    fn default() -> Self {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
