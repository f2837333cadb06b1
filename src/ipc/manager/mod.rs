//! Values and locks in a process of their own, for all who know where it is.
//!
//! ```text
//!   a process                                 the manager's process
//!   Dict, List, Queue, Lock ..                door: strangers become clients, by handshake
//!     Handle: object n of this manager          hub: objects by number and by name
//!       Link: one connection  ==============>     Server: one object, its clients, its answers
//!                                                   machine: calls in, answers out
//! ```
//!
//! The objects are those of `broker`, and so are their calls: a manager's queue is an `ipc::Queue` whose calls go another
//! way. What is new is that one connection leads to many objects, that they are found by name, that who comes has to show
//! that he knows a key, and that functions, by their names, run on what is inside.

mod client;
mod dict;
mod door;
mod error;
mod functions;
mod hub;
mod list;
mod protocol;
mod proxy;
mod server;
mod start;
mod value;

pub use client::{Manager, Named};
pub use dict::Dict;
pub use error::ManagerError;
pub use functions::Functions;
pub use list::List;
pub use server::ManagerServer;
pub use value::{Namespace, Value};
