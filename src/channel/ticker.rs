//! Receivers that become ready by the clock, without a task or thread of their own.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait, Wake};
use crate::sync::latch::Latch;
use crate::task::claim::Stake;
use crate::task::select::{Operation, Receive, Sealed, Stand, Stood};
use crate::time::{MissedTicks, Schedule};

use super::error::{RecvError, RecvTimeoutError, TryRecvError};

/// Makes a receiver that becomes ready once, when `duration` has passed: a time-out as one arm of a `select!`.
///
/// It gives the time at which it was due, to one receive; any further one waits for ever. A `duration`
/// beyond the end of time never passes.
///
/// As Go's `time.After` and crossbeam-channel's `after`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenloom::channel;
///
/// greenloom::Runtime::builder().virtual_clock().run(|| {
///     let begun = greenloom::time::now();
///     let bell = channel::after(Duration::from_secs(3600));
///     assert!(bell.try_recv().is_err());
///     assert_eq!(bell.recv().unwrap() - begun, Duration::from_secs(3600));
/// }).unwrap();
/// ```
pub fn after(duration: Duration) -> Timer {
    Timer::new("channel.after", Schedule::once(park::deadline(duration)))
}

/// As [`after`], with the time at which it becomes ready; one that has passed makes it ready at once.
pub fn at(instant: Instant) -> Timer {
    Timer::new(
        "channel.after",
        Schedule::once(Deadline::from_instant(instant)),
    )
}

/// Makes a receiver that becomes ready every `period`, for the first time when one has passed.
///
/// It gives the time at which the tick was due. A tick that nobody has come for waits; those that would come
/// on top of it are left out, and the next comes when it would have come anyway
/// ([`MissedTicks::Skip`], as Go's `Ticker`). For the other policies see
/// [`time::interval`](crate::time::interval).
///
/// # Panics
///
/// When the period is zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenloom::{channel, sleep, time};
///
/// greenloom::Runtime::builder().virtual_clock().run(|| {
///     let second = Duration::from_secs(1);
///     let begun = time::now();
///     let ticks = channel::tick(second);
///     assert_eq!(ticks.recv().unwrap() - begun, second);
///     sleep(second * 5 / 2); // until 3.5: the ticks of 2 and 3 come as one
///     assert_eq!(ticks.recv().unwrap() - begun, 2 * second);
///     assert_eq!(ticks.recv().unwrap() - begun, 4 * second);
/// }).unwrap();
/// ```
#[track_caller]
pub fn tick(period: Duration) -> Timer {
    let schedule = Schedule::every(park::deadline(period), period, MissedTicks::Skip);
    Timer::new("channel.tick", schedule)
}

/// Makes a receiver that never becomes ready: an arm of a `select!` that is switched off.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let nothing = greenloom::channel::never::<i32>();
/// assert!(nothing.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
/// ```
pub const fn never<T>() -> Never<T> {
    Never { gives: PhantomData }
}

/// A receiver that the clock makes ready; made by [`after`], [`at`] and [`tick`].
///
/// It goes by the clock of the runtime, or of the plain thread, on which it is asked: to be shared between
/// a virtual clock and the real one it is not made. Clones share the ticks: each goes to one of them.
#[derive(Clone)]
pub struct Timer {
    inner: Arc<Inner>,
}

struct Inner {
    reason: &'static str,
    schedule: Latch<Schedule>,
}

/// A receiver that never becomes ready; made by [`never()`].
pub struct Never<T> {
    gives: PhantomData<fn() -> T>,
}

impl Timer {
    fn new(reason: &'static str, schedule: Schedule) -> Self {
        Timer {
            inner: Arc::new(Inner {
                reason,
                schedule: Latch::new(schedule),
            }),
        }
    }

    /// The time of the tick that is due, or when to ask again.
    fn take(&self) -> Result<Instant, Deadline> {
        // The clock is read outside: between the two, time only goes on.
        let now = park::now();
        self.inner.schedule.lock().take(now)
    }

    /// Waits until it is ready; returns the time at which it was due.
    ///
    /// # Errors
    ///
    /// None, where tasks can be unwound. With `panic = "abort"`, [`RecvError`] when the task was cancelled.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the tick goes to whoever asks next.
    ///
    /// # Parks
    ///
    /// Until it is ready (`channel.after`, `channel.tick`). A task that is late again and again, and so never
    /// waits, yields once in a while.
    #[track_caller]
    pub fn recv(&self) -> Result<Instant, RecvError> {
        park::spend_budget();
        self.recv_until(Deadline::NEVER).map_err(|_| RecvError)
    }

    /// Asks whether it is ready. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`].
    pub fn try_recv(&self) -> Result<Instant, TryRecvError> {
        self.take().map_err(|_| TryRecvError::Empty)
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`]. A tick that is due at the very deadline is received.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Instant, RecvTimeoutError> {
        match self.take() {
            Ok(due) => Ok(due),
            Err(_) if timeout.is_zero() => Err(RecvTimeoutError::Timeout),
            Err(_) => self.recv_until(park::deadline(timeout)),
        }
    }

    /// Nobody has to be told of a tick: all who wait wait for the clock. The first of them to look takes it,
    /// and the others go on waiting for the next.
    #[track_caller]
    fn recv_until(&self, deadline: Deadline) -> Result<Instant, RecvTimeoutError> {
        loop {
            let at = match self.take() {
                Ok(due) => return Ok(due),
                Err(at) => at,
            };
            if park::must_give_up() {
                return Err(RecvTimeoutError::Disconnected);
            }
            let wait = Wait::new(self.inner.reason)
                .on(self)
                .until(at.min(deadline));
            if park::park(&wait) == Wake::TimedOut && deadline < at {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    /// Waits for tick after tick.
    pub fn iter(&self) -> TimerIter<'_> {
        TimerIter { timer: self }
    }

    /// Whether both were cloned from one.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

/// Made by [`Timer::iter`]; never ends, though after the one tick of [`after`] it waits for ever.
#[derive(Debug)]
pub struct TimerIter<'a> {
    timer: &'a Timer,
}

impl Iterator for TimerIter<'_> {
    type Item = Instant;

    #[track_caller]
    fn next(&mut self) -> Option<Instant> {
        self.timer.recv().ok()
    }
}

impl FusedIterator for TimerIter<'_> {}

impl<'a> IntoIterator for &'a Timer {
    type Item = Instant;
    type IntoIter = TimerIter<'a>;

    fn into_iter(self) -> TimerIter<'a> {
        self.iter()
    }
}

impl<T> Never<T> {
    /// Waits for ever.
    ///
    /// # Errors
    ///
    /// None, where tasks can be unwound. With `panic = "abort"`, [`RecvError`] when the task was cancelled.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// Always (`channel.never`).
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.wait(Deadline::NEVER).map_err(|_| RecvError)
    }

    /// Says that nothing is there. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], always.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        Err(TryRecvError::Empty)
    }

    /// Waits for `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`], always.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        if timeout.is_zero() {
            return Err(RecvTimeoutError::Timeout);
        }
        self.wait(park::deadline(timeout))
    }

    #[track_caller]
    fn wait(&self, deadline: Deadline) -> Result<T, RecvTimeoutError> {
        loop {
            if park::must_give_up() {
                return Err(RecvTimeoutError::Disconnected);
            }
            let wait = Wait::new("channel.never").on(self).until(deadline);
            if park::park(&wait) == Wake::TimedOut {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }
}

impl<T> Clone for Never<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Never<T> {}

impl<T> Default for Never<T> {
    fn default() -> Self {
        never()
    }
}

/// A receive from a [`Timer`] that a select may do. Made by [`select::recv`](crate::select::recv).
#[must_use = "it does nothing by itself"]
#[derive(Debug)]
pub struct TimerArm<'a> {
    timer: &'a Timer,
    /// When to ask again.
    at: Deadline,
    outcome: Option<Result<Instant, RecvError>>,
}

impl TimerArm<'_> {
    /// The time of the tick when this arm was chosen; once.
    pub fn take(&mut self) -> Option<Result<Instant, RecvError>> {
        self.outcome.take()
    }
}

/// A receive from a [`Never`], which no select will do. Made by [`select::recv`](crate::select::recv).
#[must_use = "it does nothing by itself"]
pub struct NeverArm<T> {
    never: Never<T>,
}

impl<T> NeverArm<T> {
    /// Nothing.
    pub fn take(&mut self) -> Option<Result<T, RecvError>> {
        None
    }
}

impl Sealed for Timer {}
impl<T> Sealed for Never<T> {}

impl Receive for Timer {
    type Received = Result<Instant, RecvError>;
    type RecvArm<'a> = TimerArm<'a>;

    fn recv_arm(&self) -> TimerArm<'_> {
        TimerArm {
            timer: self,
            at: Deadline::NEVER,
            outcome: None,
        }
    }
}

impl<T> Receive for Never<T> {
    type Received = Result<T, RecvError>;
    type RecvArm<'a>
        = NeverArm<T>
    where
        T: 'a;

    fn recv_arm(&self) -> NeverArm<T> {
        NeverArm { never: *self }
    }
}

impl Operation for TimerArm<'_> {
    type Output = Result<Instant, RecvError>;

    fn take(&mut self) -> Option<Self::Output> {
        self.outcome.take()
    }
}

impl<T> Operation for NeverArm<T> {
    type Output = Result<T, RecvError>;

    fn take(&mut self) -> Option<Self::Output> {
        None
    }
}

impl Stand for TimerArm<'_> {
    fn place(&self) -> usize {
        // Its latch is never held together with another.
        std::ptr::from_ref(&*self.timer.inner).addr()
    }

    fn attempt(&mut self) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        match self.timer.take() {
            Ok(due) => self.outcome = Some(Ok(due)),
            Err(at) => self.at = at,
        }
        self.outcome.is_some()
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        if self.outcome.is_some() {
            self.at = Deadline::NEVER;
            return Stood::Seated;
        }
        if !stake.busy() {
            return Stood::Gone;
        }
        match self.attempt() {
            true => stake.end(),
            false => stake.idle(),
        }
        match self.outcome {
            Some(_) => Stood::Done,
            None => Stood::Seated,
        }
    }

    fn look(&mut self, stake: Stake) -> Stood {
        match self.at.is_due(park::now()) {
            true => self.stand(stake),
            false => Stood::Seated,
        }
    }

    fn deadline(&self) -> Deadline {
        self.at
    }

    fn settle(&mut self) {}

    fn leave(&mut self) {}

    fn abandon(&mut self) {}

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timer.describe(f)
    }
}

impl<T> Stand for NeverArm<T> {
    fn place(&self) -> usize {
        0
    }

    fn attempt(&mut self) -> bool {
        false
    }

    fn stand(&mut self, _: Stake) -> Stood {
        Stood::Seated
    }

    fn settle(&mut self) {}

    fn leave(&mut self) {}

    fn abandon(&mut self) {}

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.never.describe(f)
    }
}

impl<T> fmt::Debug for NeverArm<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NeverArm")
    }
}

impl Describe for Timer {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a timer that will not become ready")
    }
}

impl<T> Describe for Never<T> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a receiver that never becomes ready")
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Never<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Never")
    }
}
