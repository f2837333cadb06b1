//! What the library does, seen from outside: one binary, a module for each wing.

mod coroutine;
mod generator;
mod greenlet;
mod stack;

#[cfg(feature = "runtime")]
mod blocking;
#[cfg(feature = "runtime")]
mod cancel;
#[cfg(feature = "runtime")]
mod channel;
#[cfg(feature = "runtime")]
mod deadlock;
#[cfg(feature = "runtime")]
mod fs;
#[cfg(feature = "runtime")]
mod join;
#[cfg(feature = "runtime")]
mod mix;
#[cfg(feature = "runtime")]
mod net;
#[cfg(feature = "runtime")]
mod ported;
#[cfg(feature = "runtime")]
mod queue;
#[cfg(feature = "runtime")]
mod runtime;
#[cfg(feature = "runtime")]
mod scope;
#[cfg(feature = "runtime")]
mod spawn;
#[cfg(feature = "runtime")]
mod stress;
#[cfg(feature = "runtime")]
mod sync;
#[cfg(feature = "runtime")]
mod time;
#[cfg(feature = "runtime")]
mod util;
#[cfg(feature = "runtime")]
mod watch;
