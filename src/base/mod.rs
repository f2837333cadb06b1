//! Small pure things that every floor may use: errors, clocks, counters.

#[cfg(feature = "runtime")]
pub(crate) mod clock;
#[cfg(feature = "runtime")]
pub(crate) mod error;
pub(crate) mod finally;
#[cfg(feature = "runtime")]
pub(crate) mod firm;
pub(crate) mod payload;
#[cfg(feature = "runtime")]
pub(crate) mod primitive;
#[cfg(feature = "runtime")]
pub(crate) mod rng;
#[cfg(feature = "runtime")]
pub(crate) mod table;
