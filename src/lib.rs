//! Stackful coroutines and green threads: code that reads like blocking code, a million tasks at a time.
#![deny(unsafe_code)]

pub(crate) mod base;
pub mod coroutine;
pub mod stack;
pub(crate) mod sys;

#[cfg(feature = "runtime")]
pub(crate) mod driver;
#[cfg(feature = "runtime")]
pub(crate) mod scheduler;
