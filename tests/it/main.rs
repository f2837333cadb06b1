//! What the library does, seen from outside: one binary, a module for each wing.

mod blocking;
mod cancel;
mod deadlock;
mod join;
mod net;
mod runtime;
mod scope;
mod spawn;
mod stack;
mod stress;
mod time;
mod watch;
