//! `std::thread` by its own names, on green threads: a ported program changes its `use` lines.
//!
//! A thread is a task here. Inside [`run`](crate::run) or another runtime it is one of that runtime's; where
//! no runtime is, the default one starts in the background, and the caller is a plain thread like any
//! other. What std promises holds, with these differences:
//!
//! * [`JoinHandle::join`] of a thread that was *cancelled*, as threads of std's never are, gives an `Err` whose
//!   payload is a [`JoinError`](crate::JoinError); so does one that could get no stack. A panic's payload is
//!   as it was thrown.
//! * When the closure of [`scope`] panics, its threads are cancelled before they are joined.
//! * [`park`] never returns without a reason, and `thread_local!` values are those of the OS thread, which
//!   many green threads share: [`task_local!`](crate::task_local) has values of each one's own.
//! * Threads do not run when the program computes without ever waiting: see
//!   [what blocks what](crate#what-blocks-what).
//!
//! # Examples
//!
//! ```
//! use greenloom::thread; // was: use std::thread;
//!
//! let workers: Vec<_> = (0..3).map(|n| thread::spawn(move || n * n)).collect();
//! let sum: i32 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
//! assert_eq!(sum, 5);
//! ```

mod scope;
mod spawn;
mod this;

pub use std::thread::{AccessError, LocalKey, Result, available_parallelism};

pub use crate::task::yield_now;
pub use crate::time::{sleep, sleep_until};

pub use scope::{Scope, ScopedJoinHandle, scope};
pub use spawn::{Builder, JoinHandle, spawn};
pub use this::{Thread, ThreadId, current, panicking, park, park_timeout};
