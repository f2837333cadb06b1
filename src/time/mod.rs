//! Sleeping, ticking, and bounding how long something may take.

mod interval;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use sleep::{now, sleep, sleep_until};
pub use timeout::{Elapsed, deadline, timeout};

pub(crate) use interval::Schedule;
