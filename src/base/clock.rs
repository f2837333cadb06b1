//! The one clock: real or virtual, in nanoseconds since a moment that the whole process shares.
//!
//! A time is a `u64` of nanoseconds since the anchor, an `Instant` taken at first use; it lasts
//! 584 years, is compared with one instruction and fits a heap entry. `u64::MAX` is kept for
//! "never", so sums saturate there instead of wrapping into the past.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Nanoseconds since the anchor of the process.
pub(crate) type Nanos = u64;

/// The anchor: made at first use, never changes after.
fn anchor() -> Instant {
    static ANCHOR: OnceLock<Instant> = OnceLock::new();
    *ANCHOR.get_or_init(Instant::now)
}

/// A duration in nanoseconds; more than 584 years becomes `u64::MAX`.
fn saturating_nanos(duration: Duration) -> Nanos {
    duration
        .as_secs()
        .checked_mul(1_000_000_000)
        .and_then(|nanos| nanos.checked_add(u64::from(duration.subsec_nanos())))
        .unwrap_or(u64::MAX)
}

/// A moment at which a wait ends, or never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Deadline(Nanos);

impl Deadline {
    /// Later than every other deadline: no clock reaches it.
    pub(crate) const NEVER: Deadline = Deadline(u64::MAX);
    /// Earlier than every other deadline: always due. A wait until then only asks.
    pub(crate) const PASSED: Deadline = Deadline(0);

    /// The deadline at this many nanoseconds since the anchor.
    #[inline]
    pub(crate) const fn at(nanos: Nanos) -> Deadline {
        Deadline(nanos)
    }

    /// `duration` after `now`; so far away that no `u64` holds it is [`Deadline::NEVER`].
    #[inline]
    pub(crate) fn after(now: Nanos, duration: Duration) -> Deadline {
        Deadline(now.saturating_add(saturating_nanos(duration)))
    }

    /// The deadline at this instant; one before the process's anchor has passed anyway.
    #[inline]
    pub(crate) fn from_instant(instant: Instant) -> Deadline {
        Deadline(saturating_nanos(
            instant.saturating_duration_since(anchor()),
        ))
    }

    /// The instant of this deadline, or `None` if it is never or beyond what `Instant` can hold.
    pub(crate) fn to_instant(self) -> Option<Instant> {
        if self.is_never() {
            return None;
        }
        anchor().checked_add(Duration::from_nanos(self.0))
    }

    /// Nanoseconds since the anchor.
    #[inline]
    pub(crate) const fn nanos(self) -> Nanos {
        self.0
    }

    /// Is this [`Deadline::NEVER`]?
    #[inline]
    pub(crate) const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }

    /// Has it come? Never for [`Deadline::NEVER`].
    #[inline]
    pub(crate) const fn is_due(self, now: Nanos) -> bool {
        self.0 <= now && !self.is_never()
    }

    /// How long from `now` until it comes, or `None` for [`Deadline::NEVER`].
    pub(crate) fn remaining(self, now: Nanos) -> Option<Duration> {
        (!self.is_never()).then(|| Duration::from_nanos(self.0.saturating_sub(now)))
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Deadline::NEVER => f.write_str("Deadline(never)"),
            Deadline(nanos) => write!(f, "Deadline({:?})", Duration::from_nanos(nanos)),
        }
    }
}

/// What a runtime takes for the time.
///
/// Clones of a virtual clock share their time.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// A copy of the anchor: reading the time then touches no shared memory.
    Real(Instant),
    /// The current time; only ever grows.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's monotonic clock.
    pub(crate) fn real() -> Clock {
        Clock(Kind::Real(anchor()))
    }

    /// A clock that stands still until [`Clock::advance_to`] moves it.
    ///
    /// It starts at the real time, so that an `Instant` taken outside is not years away.
    pub(crate) fn new_virtual() -> Clock {
        Clock(Kind::Virtual(Arc::new(AtomicU64::new(real_now()))))
    }

    /// Is this a virtual clock?
    #[inline]
    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self.0, Kind::Virtual(_))
    }

    /// The time: one call into the vDSO and a subtraction, or one load.
    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        match &self.0 {
            Kind::Real(anchor) => nanos_since(*anchor),
            // Relaxed: one worker moves and reads it; others only want some recent value.
            Kind::Virtual(time) => time.load(Ordering::Relaxed),
        }
    }

    /// Moves a virtual clock to `deadline`, unless that has passed or never comes; returns the
    /// new time.
    ///
    /// # Panics
    /// On a real clock: nobody moves that one.
    #[track_caller]
    pub(crate) fn advance_to(&self, deadline: Deadline) -> Nanos {
        let Kind::Virtual(time) = &self.0 else {
            panic!("only a virtual clock can be moved");
        };
        if !deadline.is_never() {
            time.fetch_max(deadline.nanos(), Ordering::Relaxed);
        }
        time.load(Ordering::Relaxed)
    }
}

/// The real time, whatever clock a runtime has: what the kernel's timers go by.
#[inline]
pub(crate) fn real_now() -> Nanos {
    nanos_since(anchor())
}

#[inline]
fn nanos_since(anchor: Instant) -> Nanos {
    let since = anchor.elapsed();
    // Cannot overflow: it would take 584 years of uptime.
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_durations_saturate_to_never() {
        assert_eq!(Deadline::after(7, Duration::MAX), Deadline::NEVER);
        assert_eq!(
            Deadline::after(u64::MAX - 1, Duration::from_nanos(5)),
            Deadline::NEVER
        );
        assert!(!Deadline::NEVER.is_due(u64::MAX));
        assert_eq!(Deadline::NEVER.to_instant(), None);
        assert_eq!(Deadline::NEVER.remaining(3), None);
        assert_eq!(
            Deadline::after(7, Duration::new(1, 5)).nanos(),
            1_000_000_012
        );
    }

    #[test]
    fn instants_convert_both_ways() {
        let clock = Clock::real();
        let instant = Instant::now() + Duration::from_secs(3);
        let deadline = Deadline::from_instant(instant);
        assert_eq!(deadline.to_instant(), Some(instant));
        let left = deadline.remaining(clock.now()).unwrap();
        assert!(left <= Duration::from_secs(3) && left > Duration::from_secs(1));
        if let Some(before) = anchor().checked_sub(Duration::from_secs(1)) {
            assert_eq!(Deadline::from_instant(before), Deadline::PASSED);
        }
    }

    #[test]
    fn a_virtual_clock_moves_only_forward_and_only_when_told() {
        let clock = Clock::new_virtual();
        let (twin, start) = (clock.clone(), clock.now());
        assert_eq!(clock.now(), start);
        let deadline = Deadline::after(start, Duration::from_secs(3600));
        assert_eq!(twin.advance_to(deadline), start + 3_600_000_000_000);
        assert_eq!(clock.now(), deadline.nanos());
        assert_eq!(clock.advance_to(Deadline::PASSED), deadline.nanos());
        assert_eq!(clock.advance_to(Deadline::NEVER), deadline.nanos());
    }

    #[test]
    #[should_panic(expected = "only a virtual clock")]
    fn a_real_clock_cannot_be_moved() {
        Clock::real().advance_to(Deadline::PASSED);
    }
}
