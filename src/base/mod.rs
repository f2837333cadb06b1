//! Small pure things that every floor may use: errors, clocks, counters.

#[cfg(feature = "runtime")]
#[allow(dead_code, unused_imports)] // Until the scheduler uses all of it.
pub(crate) mod primitive;
