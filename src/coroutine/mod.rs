//! Coroutines, generators and greenlets: complete without anything above this floor.
//!
//! | | who runs next |
//! |---|---|
//! | [`Coroutine`] | the body gives values to whoever resumes it, and gets values back |
//! | [`Generator`] | the same as an iterator, with Python's `send`, `throw` and `close` |
//!
//! Each has a stack of its own, so it can suspend from any depth of calls: by the [`Yielder`] that its
//! body is handed, or by [`suspend`] where there is none to hand, as in a callback.

mod builder;
mod error;
mod generator;
mod scoped;
mod thrown;
mod yielder;

pub(crate) mod ambient;
#[allow(clippy::module_inception)] // the wing's first room
mod coroutine;
mod engine;
pub(crate) mod raw;

pub use crate::stack::{InvalidStackSize, StackSize};

pub use ambient::suspend;
pub use builder::Builder;
pub use coroutine::{Coroutine, State};
pub use error::{CloseError, ResumeError, SendError, StackError, ThrowError};
pub use generator::Generator;
pub use scoped::scoped;
pub use thrown::{Thrown, catch};
pub use yielder::Yielder;
