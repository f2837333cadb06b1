//! Stackful coroutines and green threads: code that reads like blocking code, a million tasks at a time.
#![deny(unsafe_code)]

pub(crate) mod base;
pub mod coroutine;
pub mod stack;
pub(crate) mod sys;

#[cfg(feature = "runtime")]
mod blocking;
#[cfg(feature = "runtime")]
pub mod channel;
#[cfg(feature = "runtime")]
pub(crate) mod driver;
#[cfg(feature = "runtime")]
pub mod io;
#[cfg(feature = "runtime")]
pub mod net;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "runtime")]
pub(crate) mod scheduler;
#[cfg(feature = "runtime")]
pub mod sync;
#[cfg(feature = "runtime")]
pub mod task;
#[cfg(feature = "runtime")]
pub mod time;

#[cfg(feature = "runtime")]
pub use blocking::unblock;
#[cfg(feature = "runtime")]
pub use runtime::{Handle, OnDeadlock, RunError, Runtime, run, try_run};
#[cfg(feature = "runtime")]
pub use task::{
    Builder, JoinError, JoinHandle, TaskId, current, no_park, park, park_timeout, scope, shield,
    spawn, spawn_after, spawn_local, yield_now,
};
#[cfg(feature = "runtime")]
pub use time::{sleep, sleep_until, timeout};

#[cfg(all(doctest, feature = "runtime"))]
mod compile_fail;
