//! Behaviour of the runtime and all that stands on it, one module a wing. The coroutine layer is in tests/core.

mod blocking;
mod cancel;
mod channel;
mod command;
mod deadlock;
mod faces;
mod fs;
mod future;
mod group;
mod hooks;
mod hostile;
#[cfg(feature = "process")]
mod ipc;
#[cfg(feature = "process")]
mod ipc_ahead;
mod ipc_ahead_races;
mod ipc_lock;
mod ipc_memory;
#[cfg(feature = "process")]
mod ipc_shared;
mod join;
mod locals;
#[cfg(feature = "process")]
mod manager;
mod mix;
mod net;
mod outside;
mod pool;
mod ported;
#[cfg(feature = "process")]
mod process;
#[cfg(feature = "process")]
mod process_pool;
mod queue;
mod race;
mod runtime;
mod scope;
mod select;
mod signal;
mod spawn;
mod stress;
mod sync;
mod thread_pool;
mod time;
mod token;
mod util;
mod wait;
mod watch;
