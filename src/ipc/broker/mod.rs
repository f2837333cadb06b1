//! Objects that several processes share: one process has the object, the others ask for it.
//!
//! The process that made the object *serves* it: every other one has a connection to it, and calls travel there.
//! So the end of a connection tells of the death of whoever held it, and what it held can be taken back.
//!
//! A manager serves many objects, and one connection of a process leads to all of them: `managed` is how that process
//! sees it, and `manager`, beside this folder, how they are found.
//!
//! An [`Object`] is a machine without time, threads or descriptors: calls go in, answers come out, at once or
//! after other calls. `server` feeds it, one call at a time, from the connections and from its own process;
//! `client` and `connection` are how a call waits for its answer, wherever the object is.

mod client;
mod connection;
mod data;
mod dict;
mod ears;
mod event;
mod list;
mod lock;
mod managed;
mod object;
mod page;
mod queue;
mod remote;
mod semaphore;
mod server;
mod turns;
mod waiters;
mod work;

pub(super) use client::{Gone, Handle, UNSENT};
pub(super) use connection::Told;
pub(super) use data::{DataMachine, say};
pub(super) use dict::DictData;
pub(super) use event::{BarrierMachine, EventMachine};
pub(super) use list::ListData;
pub(super) use lock::LockMachine;
pub(super) use managed::{Keeper, Link, PATIENCE};
pub(super) use object::{Answer, Call, ClientId, Ticket};
pub(super) use queue::QueueMachine;
pub(super) use remote::Remote;
pub(super) use semaphore::SemaphoreMachine;
pub(super) use server::{NOBODY, Server, TOO_LONG};
pub(super) use work::{Bytes, Library, Outcome, Refusal, Subject, Work, add_part};
