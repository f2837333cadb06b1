//! Objects that several processes share: one process has the object, the others ask for it.
//!
//! The process that made the object *serves* it: every other one has a connection to it, and calls travel there.
//! So the end of a connection tells of the death of whoever held it, and what it held can be taken back.
//!
//! An [`Object`] is a machine without time, threads or descriptors: calls go in, answers come out, at once or
//! after other calls. `server` feeds it, one call at a time, from the connections and from its own process;
//! `client` is how a call waits for its answer, wherever the object is.

mod client;
mod event;
mod lock;
mod object;
mod queue;
mod semaphore;
mod server;
mod turns;

pub(super) use client::{Gone, Handle};
pub(super) use event::{BarrierMachine, EventMachine};
pub(super) use lock::LockMachine;
pub(super) use object::{Answer, Call};
pub(super) use queue::QueueMachine;
pub(super) use semaphore::SemaphoreMachine;
