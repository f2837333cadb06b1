//! A runtime as its users hold it: built, run in, spawned into from outside, stopped.

mod builder;
mod error;
mod global;
mod handle;
mod launch;
mod owner;

pub use builder::Builder;
pub use error::{RunError, SpawnError};
pub use handle::Handle;
pub use owner::{Runtime, run, try_run};

pub use global::{set_default, stop_default};

pub use crate::scheduler::config::{OnDeadlock, OnStuck};
pub(crate) use global::global;
pub(crate) use handle::Outside;
pub(crate) use launch::{launch, launch_at, launch_pinned, launch_unchecked};
