//! What the library does, seen from outside: one binary, a module for each wing.

mod coroutine;
mod generator;
mod greenlet;
mod net;
mod spawn;
mod stack;
