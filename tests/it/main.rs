//! Behaviour of the runtime and all that stands on it, one module a wing. The coroutine layer is in tests/core.

mod blocking;
mod cancel;
mod channel;
mod command;
mod deadlock;
mod faces;
mod group;
#[cfg(feature = "process")]
mod ipc;
mod join;
mod locals;
mod mix;
mod net;
mod pool;
mod ported;
mod process;
#[cfg(feature = "process")]
mod process_pool;
mod queue;
mod runtime;
mod scope;
mod select;
mod signal;
mod spawn;
mod stress;
mod sync;
mod time;
mod token;
mod util;
mod watch;
