//! What the library does, seen from outside: one binary, a module for each wing.

mod net;
mod spawn;
mod stack;
