//! Locks and other meeting places, for green threads and plain OS threads alike.
//!
//! Everything here works between tasks of one worker, of several, of several runtimes, and plain threads,
//! in any mix. A task that waits lets the others on its worker run; a thread that waits blocks. Waiters are
//! served in the order in which they came. One that is cancelled or whose time is over leaves nothing
//! behind, and what had been given to it goes to the next.
//!
//! The names are std's where std has the thing. std's own locks work inside tasks as well, but one that is
//! held over a wait blocks the whole worker when a neighbour wants it: use these.
//!
//! | for | there is |
//! |---|---|
//! | a value that one at a time may touch, or read | [`Mutex`], [`RwLock`], [`RLock`] |
//! | waiting until something is so | [`Condvar`], [`Event`], [`Notify`] |
//! | counting | [`Semaphore`], [`BoundedSemaphore`], [`WaitGroup`], [`Barrier`] |
//! | doing or making something once | [`Once`], [`OnceLock`], [`LazyLock`] |
//!
//! When all tasks wait, the deadlock report names the holder of each lock that is waited for, and the line at
//! which it was taken.
//!
//! Private machinery: `latch` (the lock under the locks) and `wait_list` (the line), on which every
//! file here and the channels stand.

mod barrier;
mod condvar;
mod door;
mod event;
mod kind;
pub(crate) mod latch;
mod lazy_lock;
pub mod mpsc;
mod mutex;
mod notify;
mod once;
mod once_lock;
pub(crate) mod owner;
mod poison;
mod raw_mutex;
mod raw_rwlock;
mod rlock;
mod rwlock;
mod semaphore;
mod wait_group;
pub(crate) mod wait_list;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use barrier::{Barrier, BarrierWaitResult, BrokenBarrier};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::{Event, EventArm};
pub use lazy_lock::LazyLock;
pub use mutex::{LockTimeoutError, Mutex, MutexGuard};
pub use notify::Notify;
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rlock::{RLock, RLockGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{
    BoundedSemaphore, OverRelease, OwnedSemaphoreGuard, Semaphore, SemaphoreGuard,
};
pub use wait_group::{OwnedWaitToken, WaitGroup, WaitToken};
