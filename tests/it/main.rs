//! What the library does, seen from outside: one binary, a module for each wing.

mod blocking;
mod cancel;
mod channel;
mod coroutine;
mod deadlock;
mod generator;
mod greenlet;
mod join;
mod net;
mod runtime;
mod scope;
mod spawn;
mod stack;
mod stress;
mod sync;
mod time;
mod util;
mod watch;
