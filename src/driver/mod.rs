//! The outside world that wakes: timers, readiness of descriptors, blocking jobs.

pub(crate) mod blocking_pool;
pub(crate) mod reactor;
pub(crate) mod registration;
pub(crate) mod signals;
pub(crate) mod timers;
