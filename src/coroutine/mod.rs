//! Coroutines, generators and greenlets: complete without anything above this floor.
//!
//! | | who runs next |
//! |---|---|
//! | [`Coroutine`] | the body gives values to whoever resumes it, and gets values back |
//! | [`Generator`] | the same as an iterator, with Python's `send`, `throw` and `close` |
//! | [`Greenlet`] | the body names whom it switches to; any greenlet of a task may switch to any other |
//!
//! Each has a stack of its own, so it can be left from any depth of calls. Coroutines and generators
//! suspend by the [`Yielder`] that their body is handed, or by [`suspend`] where there is none to hand,
//! as in a callback. They nest freely: a generator may run another, or live in a greenlet, or in a task.
//!
//! A switch costs a few nanoseconds where the suspension is inlined into the body, which takes
//! `codegen-units = 1` or `lto = true` in the profile of the final program; without it each switch is
//! mispredicted, at some ten more. Elsewhere nothing depends on it.

mod builder;
mod delegate;
mod error;
mod family;
mod generator;
mod greenlet;
mod scoped;
mod signature;
mod slot;
mod thrown;
pub(crate) mod unwinding;
mod value;
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
pub use error::{
    CloseError, ParentError, ResumeError, SendError, StackError, SwitchError, ThrowError,
};
pub use family::TraceKind;
pub use generator::Generator;
pub use greenlet::{Greenlet, TraceEvent};
pub use scoped::scoped;
pub use thrown::{GreenletExit, Thrown, catch};
pub use value::Value;
pub use yielder::Yielder;
