//! What the library does, seen from outside: one binary, a module for each wing.

mod channel;
mod net;
mod spawn;
mod stack;
mod sync;
mod util;
