//! Functions of this program in processes of their own: one at a time, or in a pool of workers.
//!
//! A child is a new process of this same program. `entry` takes it over before `main`; `function` is how it is
//! told what to call; `protocol` is what it and its parent say to each other. On the parent's side `launch` starts
//! it and speaks to it, `kid` watches over its life, `registry` over all of them to the end of this process.
//! On these stand [`Process`] and [`ProcessPool`].

mod entry;
mod error;
mod function;
mod kid;
mod launch;
mod panics;
mod pool;
mod process;
mod protocol;
mod registry;

pub use entry::{current_name, init};
pub use error::{ProcessPanic, TaskError};
pub(crate) use function::Service;
pub use pool::{IMap, IMapUnordered, NotReady, PoolBuilder, PoolError, ProcessPool, TaskHandle};
pub use process::{Builder, Process};
pub use registry::{ActiveChild, active_children};
