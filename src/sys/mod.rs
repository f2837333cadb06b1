//! The kernel's door: the one place with raw memory calls, signals, descriptors and `cfg` by target.

#[cfg(feature = "runtime")]
#[allow(
    dead_code,
    reason = "the wings that wait for descriptors stand above and are to come"
)]
pub(crate) mod poll;
pub(crate) mod cpu;
