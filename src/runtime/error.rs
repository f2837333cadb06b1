//! What can go wrong when a runtime is run in or spawned into.

use std::any::Any;
use std::{error, fmt, io};

use crate::scheduler::packet::panic_text;

/// Why a task could not be spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The runtime is stopping or has stopped.
    Stopping,
    /// As many tasks are alive as [`Builder::task_limit`](crate::runtime::Builder::task_limit) allows.
    Full {
        /// The limit.
        limit: usize,
    },
    /// `spawn_local` was called where no worker runs: there is no thread that the task could stay on.
    NoWorker,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Stopping => f.write_str("the runtime is stopping and takes no new tasks"),
            SpawnError::Full { limit } => {
                write!(
                    f,
                    "the runtime's limit of {limit} live tasks is reached; raise Builder::task_limit"
                )
            }
            SpawnError::NoWorker => {
                f.write_str("spawn_local outside of a task: call it inside run or block_on")
            }
        }
    }
}

impl error::Error for SpawnError {}

impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> io::Error {
        let kind = match error {
            SpawnError::Full { .. } => io::ErrorKind::QuotaExceeded,
            _ => io::ErrorKind::Unsupported,
        };
        io::Error::new(kind, error)
    }
}

/// Why `run` or `block_on` gave no value.
#[non_exhaustive]
pub enum RunError {
    /// The thread runs a worker already: wait with `join` instead, or use another thread.
    Nested,
    /// The runtime could not be built: threads, descriptors or memory are short.
    Io(io::Error),
    /// The main task panicked; a deadlock is such a panic, with the report as its message.
    Panicked(Box<dyn Any + Send>),
    /// The main task was cancelled, because the runtime was stopped.
    Cancelled,
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Nested => f.write_str("Nested"),
            RunError::Io(error) => f.debug_tuple("Io").field(error).finish(),
            RunError::Panicked(payload) => f
                .debug_tuple("Panicked")
                .field(&panic_text(payload.as_ref()))
                .finish(),
            RunError::Cancelled => f.write_str("Cancelled"),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Nested => {
                f.write_str("run or block_on inside of a task: join the task instead")
            }
            RunError::Io(error) => write!(f, "the runtime could not be built: {error}"),
            RunError::Panicked(payload) => {
                write!(
                    f,
                    "the main task panicked: {}",
                    panic_text(payload.as_ref())
                )
            }
            RunError::Cancelled => {
                f.write_str("the main task was cancelled: the runtime was stopped")
            }
        }
    }
}

impl error::Error for RunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            RunError::Io(error) => Some(error),
            _ => None,
        }
    }
}
