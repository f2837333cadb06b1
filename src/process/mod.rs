//! Functions of this program in processes of their own.

mod entry;
mod error;
mod function;
mod kid;
mod launch;
mod panics;
mod pool;
#[expect(clippy::module_inception, reason = "it is what this wing is named for")]
mod process;
mod protocol;
mod registry;

pub use error::{ProcessPanic, TaskError};
pub use pool::{IMap, IMapUnordered, NotReady, PoolBuilder, PoolError, ProcessPool, TaskHandle};
pub use process::{Builder, Process};
pub use registry::{ActiveChild, active_children};
