//! What the library does, seen from outside: one binary, a module for each wing.

mod coroutine;
mod generator;
mod greenlet;
mod stack;

#[cfg(feature = "runtime")]
mod channel;
#[cfg(feature = "runtime")]
mod net;
#[cfg(feature = "runtime")]
mod spawn;
#[cfg(feature = "runtime")]
mod sync;
#[cfg(feature = "runtime")]
mod util;
