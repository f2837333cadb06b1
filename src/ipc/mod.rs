//! What processes say to one another: values in frames over Unix sockets, descriptors among them.
//!
//! A value crosses as a *parcel*: its postcard encoding, and beside it the descriptors that stand in it. A
//! *link* carries parcels in frames: it keeps their borders, moves as much as the peer takes without blocking
//! anything but the waiting task, and never leaves a frame half sent.
//!
//! What many processes use at once is an object that one of them serves: [`Queue`], [`Lock`] and their likes by the
//! process that made them; dicts, lists and values, and the same queues and locks, by a [`Manager`], which others find
//! by an address and a key as well. Plain bytes can be shared as memory: [`SharedMemory`].

mod address;
mod broker;
mod codec;
mod error;
mod event;
mod handshake;
pub(crate) mod home;
mod line;
pub(crate) mod link;
mod lock;
mod manager;
pub(crate) mod parcel;

mod pipe;
mod queue;
mod semaphore;
mod shared;

pub use address::Address;
pub use codec::CodecError;
pub use error::{Disconnected, GetError, PutError, RecvError, SendError};
pub use event::{Barrier, BarrierError, Event};
pub use lock::{Condition, ConditionGuard, Lock, LockGuard, RLock, RLockGuard};
pub use manager::{
    Dict, Functions, List, Manager, ManagerError, ManagerServer, Named, Namespace, Value,
};
pub use pipe::{Conn, pipe};
pub use queue::{JoinableQueue, Queue, TaskDoneError};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
pub use shared::{SharedArray, SharedArrayGuard, SharedMemory, SharedValue, SharedValueGuard};
