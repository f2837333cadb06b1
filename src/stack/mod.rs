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

pub use global::{StackStats, stats};
#[allow(
    unused_imports,
    reason = "not every set of features has all of the floors above"
)]
pub(crate) use label::{Kind, Label};
pub use pool::trim;
#[allow(unused_imports, reason = "as above")]
pub(crate) use pool::{StackPool, thread_acquire};
pub(crate) use region::Stack;
pub use size::{InvalidStackSize, StackSize};

pub use crate::sys::memory::GuardKind;
