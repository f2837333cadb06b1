//! The outside world that wakes: timers, readiness of descriptors, blocking jobs.
