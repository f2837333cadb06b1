//! Behaviour of the coroutine layer, with and without the runtime above it.

mod coroutine;
mod generator;
mod greenlet;
mod stack;
mod value;
