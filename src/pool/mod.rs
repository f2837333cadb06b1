//! Bounded work: at most so many green threads at a time, and results as they come.
//!
//! A [`GreenPool`] has seats rather than threads: a member is a task of its own, which takes a seat when it
//! is spawned and leaves it when it ends. Spawning waits while every seat is taken, and that is what
//! bounds the work: a producer is held back to the pace of its jobs.
//!
//! [`map`](GreenPool::map) does a list at once, [`imap`](GreenPool::imap) and
//! [`imap_unordered`](GreenPool::imap_unordered) are iterators over inputs that may be endless, and
//! [`as_completed`](GreenPool::as_completed) gives results in the order in which tasks end. A job that
//! panics is an error in its own place, and spoils no other.
//!
//! # Examples
//!
//! ```
//! use greenloom::pool::GreenPool;
//!
//! # greenloom::run(|| {
//! let pool = GreenPool::new(10);
//! let words = ["a", "pool", "of", "ten"];
//! let lengths = pool.map(words, |word| word.len());
//! assert_eq!(lengths.into_iter().map(Result::unwrap).sum::<usize>(), 10);
//!
//! // A thousand jobs, ten at a time.
//! for job in 0..1000 {
//!     drop(pool.spawn(move || job * 2));
//! }
//! pool.join();
//! # });
//! ```

mod completed;
mod error;
mod green_pool;
mod imap;
mod seats;

pub use completed::AsCompleted;
pub use error::{SubmitError, TrySpawnError};
pub use green_pool::GreenPool;
pub use imap::{IMap, IMapUnordered};
