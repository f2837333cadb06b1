//! The kernel's door: the one place with raw memory calls, signals, descriptors and `cfg` by target.

#[cfg(not(unix))]
compile_error!(
    "greenloom runs on Unix only for now: see `src/sys` for the door a port would build"
);

#[cfg(feature = "process")]
pub(crate) mod child;
#[cfg(feature = "runtime")]
pub(crate) mod cpu;
pub(crate) mod fault;
#[cfg(feature = "process")]
pub(crate) mod image;
pub(crate) mod memory;
#[cfg(feature = "runtime")]
pub(crate) mod pipe;
#[cfg(feature = "runtime")]
pub(crate) mod poll;
#[cfg(feature = "runtime")]
pub(crate) mod process;
#[cfg(feature = "process")]
pub(crate) mod random;
#[cfg(feature = "process")]
pub(crate) mod shared;
#[cfg(feature = "runtime")]
pub(crate) mod socket;
#[cfg(feature = "runtime")]
pub(crate) mod unwind;
