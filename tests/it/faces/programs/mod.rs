//! Threaded programs that name std's modules by way of `facade` alone.

pub(crate) mod bounded_buffer;
pub(crate) mod cache;
pub(crate) mod outside;
pub(crate) mod parallel_sum;
pub(crate) mod phases;
pub(crate) mod philosophers;
pub(crate) mod poisoned;
pub(crate) mod relay;
pub(crate) mod sieve;
pub(crate) mod worker_pool;

/// What a port changes.
mod facade {
    pub(super) use super::super::{fs, net, process, symlink, sync, thread, unix_net};
}
