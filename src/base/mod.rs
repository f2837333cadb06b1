//! Small pure things that every floor may use: errors, clocks, counters.

#[cfg(feature = "runtime")]
#[allow(
    dead_code,
    reason = "the wings that read the time stand above and are still to come"
)]
pub(crate) mod clock;
#[cfg(feature = "runtime")]
#[allow(
    dead_code,
    reason = "the wings that end a wait early stand above and are still to come"
)]
pub(crate) mod error;
