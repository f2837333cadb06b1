//! Waiting for descriptors: any of them, by [`Evented`]; copying between streams; the standard input.

mod bell;
mod copy;
mod evented;
pub(crate) mod line;
mod splice;
mod stdin;
mod watch;

pub use copy::{Duplex, copy, copy_bidirectional, copy_one_way};
pub use evented::Evented;
pub(crate) use evented::aim;
#[doc(hidden)]
pub use splice::Channel;
pub use stdin::{Lines, Stdin, stdin};
#[cfg(feature = "futures-io")]
pub(crate) use watch::Polling;
pub(crate) use watch::{Descriptor, Limit, Several, closed_by_another};
