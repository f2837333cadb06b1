//! The outside world that wakes: timers, readiness of descriptors, blocking jobs.
#![allow(
    dead_code,
    reason = "the scheduler that turns it stands above and is still to come"
)]

pub(crate) mod blocking_pool;
pub(crate) mod reactor;
pub(crate) mod registration;
pub(crate) mod timers;
