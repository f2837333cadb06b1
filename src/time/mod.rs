//! Sleeping, ticking, and bounding how long something may take.

mod interval;
mod sleep;
mod timeout;
mod wait_for;

pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use sleep::{now, sleep, sleep_until};
pub use timeout::{Elapsed, deadline, shield_for, timeout};

pub(crate) use interval::Schedule;
