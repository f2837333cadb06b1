//! Waiting for descriptors: any of them, by [`Evented`].

mod bell;
mod evented;
pub(crate) mod line;
mod watch;

pub use evented::Evented;
pub(crate) use evented::aim;
pub(crate) use watch::{Descriptor, Limit, Several, closed_by_another};
