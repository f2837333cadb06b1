//! Permits: at most so many at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Count, Describe, Wait};

use super::latch::{Latch, Latched};
use super::wait_list::{self, Queue, Ticket, WaitList, Wakers};

/// A number of permits, to be acquired and released by green threads and plain threads.
///
/// Strictly fair: whoever comes while others wait goes behind them, even when the permits that are left
/// would do for it; so one who wants many is not starved by those who want few.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use greenloom::sync::Semaphore;
///
/// # greenloom::run(|| {
/// let two_at_once = Arc::new(Semaphore::new(2));
/// let tasks: Vec<_> = (0..10)
///     .map(|_| {
///         let gate = two_at_once.clone();
///         greenloom::spawn(move || {
///             let _permit = gate.acquire();
///             greenloom::yield_now(); // at most two tasks are here at a time
///         })
///     })
///     .collect();
/// tasks.into_iter().for_each(|task| task.join().unwrap());
/// assert_eq!(two_at_once.available_permits(), 2);
/// # });
/// ```
#[derive(Debug)]
pub struct Semaphore {
    state: Latch<State>,
    /// More available permits than this there never are.
    limit: usize,
}

/// Inside the latch: the first in line never wants as little as there is.
#[derive(Debug)]
struct State {
    permits: usize,
    /// The payload is how many permits are wanted; a called seat owns them.
    line: WaitList<usize>,
}

/// Permits of a [`Semaphore`] or [`BoundedSemaphore`], released when dropped.
#[must_use = "the permits are released when their guard is dropped"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct SemaphoreGuard<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl Semaphore {
    /// More permits than this there cannot be.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// Makes a semaphore with so many permits; also for statics.
    ///
    /// # Panics
    ///
    /// Above [`MAX_PERMITS`](Self::MAX_PERMITS).
    pub const fn new(permits: usize) -> Self {
        Semaphore::with_limit(permits, Self::MAX_PERMITS)
    }

    const fn with_limit(permits: usize, limit: usize) -> Self {
        assert!(
            permits <= Self::MAX_PERMITS,
            "more permits than Semaphore::MAX_PERMITS"
        );
        Semaphore {
            limit,
            state: Latch::new(State {
                permits,
                line: WaitList::new(),
            }),
        }
    }

    /// How many permits nobody has. While others wait for more than these, nobody gets them.
    pub fn available_permits(&self) -> usize {
        self.state.lock().permits
    }

    /// Acquires one permit, waiting as long as it takes.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; a permit that was given to it meanwhile goes to the next in line.
    ///
    /// # Parks
    ///
    /// While there is no permit, or others wait (`sync.semaphore`).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenloom::sync::Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert!(semaphore.try_acquire().is_none());
    /// drop(permit);
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    #[track_caller]
    #[inline]
    pub fn acquire(&self) -> SemaphoreGuard<'_> {
        self.acquire_many(1)
    }

    /// As [`acquire`](Self::acquire), with a guard that keeps the semaphore alive: for a permit that goes
    /// with a task.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use greenloom::sync::Semaphore;
    ///
    /// # greenloom::run(|| {
    /// let gate = Arc::new(Semaphore::new(100));
    /// for page in 0..1000 {
    ///     // Waits here, so that at most a hundred tasks exist at a time.
    ///     let permit = gate.acquire_owned();
    ///     greenloom::spawn(move || {
    ///         let _permit = permit;
    ///         let _ = page; // fetch it
    ///     });
    /// }
    /// drop(gate.acquire_many(100)); // all have ended
    /// # });
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedSemaphoreGuard {
        self.take(1, Deadline::NEVER);
        OwnedSemaphoreGuard {
            semaphore: self.clone(),
        }
    }

    /// Acquires so many permits at once; zero are had without waiting.
    ///
    /// It waits for ever when nobody ever releases enough. For the rest as [`acquire`](Self::acquire).
    #[track_caller]
    #[inline]
    pub fn acquire_many(&self, permits: usize) -> SemaphoreGuard<'_> {
        self.take(permits, Deadline::NEVER);
        self.guard(permits)
    }

    /// Acquires one permit if that is possible at once. Never parks.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphoreGuard<'_>> {
        self.try_acquire_many(1)
    }

    /// Acquires so many permits if that is possible at once. Never parks.
    pub fn try_acquire_many(&self, permits: usize) -> Option<SemaphoreGuard<'_>> {
        let is_taken = self.state.lock().try_take(permits);
        is_taken.then(|| self.guard(permits))
    }

    /// As [`acquire`](Self::acquire), but `None` when it has not got the permit within `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let semaphore = greenloom::sync::Semaphore::new(0);
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_none());
    /// ```
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphoreGuard<'_>> {
        self.acquire_many_timeout(1, timeout)
    }

    /// As [`acquire_many`](Self::acquire_many), but `None` when it has not got them all within `timeout`; it
    /// then has none.
    #[track_caller]
    pub fn acquire_many_timeout(
        &self,
        permits: usize,
        timeout: Duration,
    ) -> Option<SemaphoreGuard<'_>> {
        if let Some(guard) = self.try_acquire_many(permits) {
            return Some(guard);
        }
        let is_taken = !timeout.is_zero() && self.take(permits, park::deadline(timeout));
        is_taken.then(|| self.guard(permits))
    }

    /// Adds permits, whether or not they were acquired before; serves whoever waits for them.
    ///
    /// Not needed for permits that a guard holds: it releases them itself. Never parks.
    ///
    /// # Panics
    ///
    /// When there would be more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let ready = greenloom::sync::Semaphore::new(0);
    /// ready.release(3);
    /// ready.acquire_many(2).forget();
    /// assert_eq!(ready.available_permits(), 1);
    /// ```
    #[track_caller]
    pub fn release(&self, permits: usize) {
        let is_added = self.add(permits);
        assert!(is_added, "more permits than Semaphore::MAX_PERMITS");
    }

    fn guard(&self, permits: usize) -> SemaphoreGuard<'_> {
        SemaphoreGuard {
            semaphore: self,
            permits,
        }
    }

    /// False when there would be more than the limit; nothing was added then.
    #[inline]
    fn add(&self, permits: usize) -> bool {
        let mut state = self.state.lock();
        match state.permits.checked_add(permits) {
            Some(sum) if sum <= self.limit => state.permits = sum,
            _ => return false,
        }
        serve(state);
        true
    }

    /// False when the deadline passed before the permits were had.
    #[track_caller]
    #[inline]
    fn take(&self, permits: usize, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        state.try_take(permits) || self.take_contended(state, permits, deadline)
    }

    #[cold]
    #[track_caller]
    fn take_contended(
        &self,
        mut state: Latched<'_, State>,
        permits: usize,
        deadline: Deadline,
    ) -> bool {
        let ticket = state.line.join(permits);
        drop(state);
        let wait = Wait::new("sync.semaphore").on(self).until(deadline);
        wait_list::wait(self, ticket, &wait)
    }
}

impl State {
    #[inline]
    fn try_take(&mut self, permits: usize) -> bool {
        let is_possible = permits == 0 || (self.line.is_empty() && self.permits >= permits);
        if is_possible {
            self.permits -= permits;
        }
        is_possible
    }
}

/// Calls everybody at the head of the line for whom there is enough; leaves the latch, and wakes them.
#[inline]
fn serve(mut state: Latched<'_, State>) {
    let mut wakers = Wakers::new();
    while let Some(&mut wanted) = state.line.first() {
        if wanted > state.permits {
            break;
        }
        state.permits -= wanted;
        if let Some(waker) = state.line.call_first() {
            wakers.push(waker);
        }
    }
    drop(state);
    wakers.wake();
}

impl Queue for &Semaphore {
    /// Whether the waiter has its permits.
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let mut state = self.state.lock();
        let is_called = state.line.is_called(ticket);
        if !is_called && !is_late {
            return None;
        }
        let left = state.line.leave(ticket);
        if left.was_first {
            // What was too little for this one may do for the next.
            serve(state);
        }
        Some(is_called)
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.state.lock();
        let left = state.line.leave(ticket);
        if left.is_called {
            // As in a guard's drop, never above the limit.
            state.permits = state.permits.saturating_add(left.payload).min(self.limit);
        }
        serve(state);
    }
}

impl Describe for Semaphore {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permits = Count(self.available_permits(), "permit");
        write!(f, "a Semaphore with {permits}")
    }
}

/// One permit of a [`Semaphore`] that it keeps alive, released when dropped.
#[must_use = "the permit is released when its guard is dropped"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct OwnedSemaphoreGuard {
    semaphore: Arc<Semaphore>,
}

impl Drop for OwnedSemaphoreGuard {
    fn drop(&mut self) {
        self.semaphore.add(1);
    }
}

impl SemaphoreGuard<'_> {
    /// How many permits it holds.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Keeps the permits from being released: they are the caller's to
    /// [`release`](Semaphore::release), if ever.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for SemaphoreGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.permits > 0 {
            // Refused only if others have released what they had not acquired: then these are theirs.
            self.semaphore.add(self.permits);
        }
    }
}

/// A [`Semaphore`] that notices when more is released than was acquired.
///
/// # Examples
///
/// ```
/// let semaphore = greenloom::sync::BoundedSemaphore::new(1);
/// semaphore.acquire().forget();
/// assert!(semaphore.release(1).is_ok());
/// assert!(semaphore.release(1).is_err());
/// assert_eq!(semaphore.available_permits(), 1);
/// ```
#[derive(Debug)]
pub struct BoundedSemaphore {
    inner: Semaphore,
}

/// More permits were released than had been acquired; the semaphore is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRelease(());

impl OverRelease {
    #[cfg(feature = "process")]
    pub(crate) fn new() -> Self {
        OverRelease(())
    }
}

impl fmt::Display for OverRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more permits released than were acquired")
    }
}

impl std::error::Error for OverRelease {}

impl BoundedSemaphore {
    /// Makes a semaphore that never has more than these permits; also for statics.
    ///
    /// # Panics
    ///
    /// Above [`Semaphore::MAX_PERMITS`].
    pub const fn new(permits: usize) -> Self {
        BoundedSemaphore {
            inner: Semaphore::with_limit(permits, permits),
        }
    }

    /// As [`Semaphore::available_permits`].
    pub fn available_permits(&self) -> usize {
        self.inner.available_permits()
    }

    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire(&self) -> SemaphoreGuard<'_> {
        self.acquire_many(1)
    }

    /// As [`Semaphore::acquire_many`].
    ///
    /// # Panics
    ///
    /// When it asks for more than there ever are.
    #[track_caller]
    pub fn acquire_many(&self, permits: usize) -> SemaphoreGuard<'_> {
        self.check(permits);
        self.inner.acquire_many(permits)
    }

    /// As [`Semaphore::try_acquire`].
    pub fn try_acquire(&self) -> Option<SemaphoreGuard<'_>> {
        self.inner.try_acquire()
    }

    /// As [`Semaphore::try_acquire_many`].
    pub fn try_acquire_many(&self, permits: usize) -> Option<SemaphoreGuard<'_>> {
        self.inner.try_acquire_many(permits)
    }

    /// As [`Semaphore::acquire_timeout`].
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphoreGuard<'_>> {
        self.inner.acquire_timeout(timeout)
    }

    /// As [`Semaphore::acquire_many_timeout`].
    ///
    /// # Panics
    ///
    /// When it asks for more than there ever are.
    #[track_caller]
    pub fn acquire_many_timeout(
        &self,
        permits: usize,
        timeout: Duration,
    ) -> Option<SemaphoreGuard<'_>> {
        self.check(permits);
        self.inner.acquire_many_timeout(permits, timeout)
    }

    /// Releases permits that were acquired and [forgotten](SemaphoreGuard::forget). Never parks.
    ///
    /// # Errors
    ///
    /// [`OverRelease`] when there would be more than at the beginning; nothing is released then.
    pub fn release(&self, permits: usize) -> Result<(), OverRelease> {
        match self.inner.add(permits) {
            true => Ok(()),
            false => Err(OverRelease(())),
        }
    }

    #[track_caller]
    fn check(&self, permits: usize) {
        let limit = self.inner.limit;
        assert!(
            permits <= limit,
            "{permits} permits asked of a BoundedSemaphore that has {limit} at most"
        );
    }
}
