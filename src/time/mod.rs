//! Sleeping, and bounding how long something may take.

mod sleep;
mod timeout;

pub use sleep::{now, sleep, sleep_until};
pub use timeout::{Elapsed, deadline, timeout};
