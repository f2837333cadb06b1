//! What the library does, seen from outside: one binary, a module for each wing.

mod coroutine;
mod generator;
mod greenlet;
#[cfg(feature = "runtime")]
mod net;
#[cfg(feature = "runtime")]
mod spawn;
mod stack;
