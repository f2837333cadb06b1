//! Waiting for several things at once, to do exactly one of them.
//!
//! The macro [`select!`](crate::select!) is what most code wants. This module has what it is made of, for lists
//! whose length is known at run time only:
//!
//! ```
//! use greenloom::channel;
//! use greenloom::select::{self, Select};
//!
//! # greenloom::run(|| {
//! let (senders, receivers): (Vec<_>, Vec<_>) = (0..100).map(|_| channel::bounded(1)).unzip();
//! let sender = senders[42].clone();
//! greenloom::spawn(move || sender.send("hello").unwrap());
//!
//! let mut arms: Vec<_> = receivers.iter().map(select::recv).collect();
//! let chosen = Select::over(&mut arms).wait();
//! assert_eq!(chosen, 42);
//! assert_eq!(arms[chosen].take(), Some(Ok("hello")));
//! # });
//! ```
//!
//! An arm is a value on the caller's own stack: what it would do, and when it has been chosen, what came of it.
//! An arm that was not chosen has done nothing, and may be used again; a [`send`] has its value still. One that
//! was chosen can be chosen again when its result has been taken, but for a `send`, whose value is gone.

mod arms;
mod dynamic;
mod engine;
mod join;
mod token;

pub use arms::{Chosen, End, Never, Pair, Until, run};
pub use dynamic::{Select, recv, send, wait};
pub use engine::{Arm, Operation, Receive, Send, Waitable};
pub use join::{JoinArm, join};
pub use token::TokenArm;

pub(crate) use engine::{Sealed, Stand, Stood};
