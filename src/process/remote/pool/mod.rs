//! Processes that are started once and run many functions: [`ProcessPool`].
//!
//! `crew` holds the workers and the jobs that wait, and decides who does what; a `job` is one call and what came
//! of it; `maps` cut inputs into chunks and put the results together again; `callbacks` run on a thread of their
//! own.

mod callbacks;
mod crew;
mod error;
mod initializer;
mod job;
mod maps;
#[expect(
    clippy::module_inception,
    reason = "the thing itself, beside its parts"
)]
mod pool;

pub use error::{NotReady, PoolError};
pub use job::TaskHandle;
pub use maps::{IMap, IMapUnordered};
pub use pool::{PoolBuilder, ProcessPool};
