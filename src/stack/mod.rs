//! Memory of a stack: size classes, slots with guards, reuse, overflow reports.
//!
//! Stacks are slots of large mappings, one power of two per size class, with a guard at their low end.
//! They are handed out last in, first out, from a cache that belongs to one thread, so that neither a
//! lock nor a system call lies on the common path. Untouched pages of a stack cost nothing.

#[doc(hidden)]
pub mod bare;
mod global;
mod label;
pub(crate) mod overflow;
mod pool;
mod region;
mod shortage;
mod size;
mod usage;

pub use global::{StackStats, stats};
pub(crate) use label::{Kind, Label};
#[cfg(feature = "runtime")]
pub(crate) use pool::StackPool;
pub(crate) use pool::thread_acquire;
pub use pool::trim;
pub(crate) use region::Stack;
pub use size::{InvalidStackSize, StackSize};
pub use usage::{StackUse, usage};

pub use crate::sys::memory::GuardKind;
