//! Ticks: times that come again and again, and what happens to those that nobody came for.

use std::time::{Duration, Instant};

use crate::base::clock::{Deadline, Nanos};
use crate::scheduler::park::{self, Wait, Wake};

/// What happens when somebody comes for a tick so late that further ones were due in the meantime.
///
/// For a period of 100 ms, and somebody who was busy until 350:
///
/// | policy | ticks at (ms) |
/// |---|---|
/// | `Skip` | 100 at 350, then 400, 500, 600 |
/// | `Burst` | 100, 200 and 300 at 350, then 400, 500, 600 |
/// | `Delay` | 100 at 350, then 450, 550, 650 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissedTicks {
    /// The missed ones are left out, and the next comes when it would have come anyway. As Go's `Ticker`.
    #[default]
    Skip,
    /// The missed ones come one right after the other, until the schedule is caught up with: none is lost.
    Burst,
    /// The next comes a whole period after this one was come for: the schedule shifts.
    Delay,
}

/// When the next tick is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    next: Deadline,
    /// `NEVER`: there is no second tick.
    period: Deadline,
    policy: MissedTicks,
}

impl Schedule {
    /// A single tick.
    pub(crate) fn once(at: Deadline) -> Self {
        Schedule {
            next: at,
            period: Deadline::NEVER,
            policy: MissedTicks::Skip,
        }
    }

    /// # Panics
    ///
    /// When the period is zero.
    #[track_caller]
    pub(crate) fn every(first: Deadline, period: Duration, policy: MissedTicks) -> Self {
        assert!(!period.is_zero(), "ticks without time between them");
        Schedule {
            next: first,
            period: Deadline::after(0, period),
            policy,
        }
    }

    /// The time of the tick that is due, which is then past; or when to come back.
    pub(crate) fn take(&mut self, now: Nanos) -> Result<Instant, Deadline> {
        let due = self.next;
        if !due.is_due(now) {
            return Err(due);
        }
        self.next = self.following(due.nanos(), now);
        // `None` only where the platform's `Instant` cannot express it, some centuries from now.
        Ok(due.to_instant().unwrap_or_else(Instant::now))
    }

    fn following(&self, due: Nanos, now: Nanos) -> Deadline {
        let period = self.period.nanos();
        if self.period.is_never() {
            return Deadline::NEVER;
        }
        Deadline::at(match self.policy {
            MissedTicks::Burst => due.saturating_add(period),
            MissedTicks::Delay => now.saturating_add(period),
            MissedTicks::Skip => {
                let missed = (now - due) / period;
                due.saturating_add(period.saturating_mul(missed + 1))
            }
        })
    }

    /// The next tick is a period from `now`.
    fn reset(&mut self, now: Nanos) {
        self.next = Deadline::at(now.saturating_add(self.period.nanos()));
    }
}

/// Ticks every `period`, for the first time when one period has passed.
///
/// By the clock that [`sleep`](crate::sleep) goes by here. Whoever comes late for a tick gets it at once; what
/// becomes of the ones after it is told by [`MissedTicks`]. For ticks to `select!` or to share among tasks,
/// see [`channel::tick`](crate::channel::tick).
///
/// As Go's `NewTicker`. (tokio's `interval` has its first tick at once: [`interval_at`] with
/// [`now`](crate::time::now) is that.)
///
/// # Panics
///
/// When the period is zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenloom::time;
///
/// greenloom::Runtime::builder().virtual_clock().run(|| {
///     let begun = time::now();
///     let mut interval = time::interval(Duration::from_secs(10));
///     for n in 1..=3 {
///         let due = interval.tick();
///         assert_eq!(due - begun, Duration::from_secs(10 * n));
///         greenloom::sleep(Duration::from_secs(3)); // the work does not shift the ticks
///     }
/// }).unwrap();
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    Interval::new(park::deadline(period), period)
}

/// As [`interval`], with the time of the first tick; one that has passed is due at once.
///
/// # Panics
///
/// When the period is zero.
#[track_caller]
pub fn interval_at(first: Instant, period: Duration) -> Interval {
    Interval::new(Deadline::from_instant(first), period)
}

/// Ticks to wait for; made by [`interval`]. As an iterator, one that never ends.
#[derive(Debug)]
pub struct Interval {
    schedule: Schedule,
    period: Duration,
}

impl Interval {
    #[track_caller]
    fn new(first: Deadline, period: Duration) -> Self {
        Interval {
            schedule: Schedule::every(first, period, MissedTicks::default()),
            period,
        }
    }

    /// The same ticks with another policy for those that are missed; [`Skip`](MissedTicks::Skip) is the
    /// default.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::time::{self, MissedTicks};
    ///
    /// greenloom::Runtime::builder().virtual_clock().run(|| {
    ///     let mut interval = time::interval(Duration::from_secs(1)).missed(MissedTicks::Burst);
    ///     greenloom::sleep(Duration::from_secs(5));
    ///     for _ in 0..5 {
    ///         assert!(interval.try_tick().is_some());
    ///     }
    ///     assert!(interval.try_tick().is_none());
    /// }).unwrap();
    /// ```
    pub fn missed(mut self, policy: MissedTicks) -> Self {
        self.schedule.policy = policy;
        self
    }

    /// Waits for the next tick; returns the time at which it was due.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the tick is still to come.
    ///
    /// # Parks
    ///
    /// Until the tick is due (`time.interval`). A task that is late again and again, and so never waits,
    /// yields once in a while.
    #[track_caller]
    pub fn tick(&mut self) -> Instant {
        park::spend_budget();
        loop {
            if let Some(due) = self.tick_until(Deadline::NEVER) {
                return due;
            }
        }
    }

    /// The time of a tick that is due. Never parks.
    pub fn try_tick(&mut self) -> Option<Instant> {
        self.schedule.take(park::now()).ok()
    }

    /// As [`tick`](Self::tick), but `None` when no tick is due within `timeout`. With a `timeout` of zero it asks once.
    #[track_caller]
    pub fn tick_timeout(&mut self, timeout: Duration) -> Option<Instant> {
        let tick = self.try_tick();
        if tick.is_some() || timeout.is_zero() {
            return tick;
        }
        self.tick_until(park::deadline(timeout))
    }

    #[track_caller]
    fn tick_until(&mut self, deadline: Deadline) -> Option<Instant> {
        loop {
            let at = match self.schedule.take(park::now()) {
                Ok(due) => return Some(due),
                Err(at) => at,
            };
            let wait = Wait::new("time.interval").until(at.min(deadline));
            if park::park(&wait) == Wake::TimedOut && deadline < at {
                return None;
            }
        }
    }

    /// The next tick comes one period from now, whatever was due before.
    pub fn reset(&mut self) {
        self.schedule.reset(park::now());
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }
}

impl Iterator for Interval {
    type Item = Instant;

    #[track_caller]
    fn next(&mut self) -> Option<Instant> {
        Some(self.tick())
    }
}
