//! Why a function that ran in another process gave no value.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ipc::CodecError;

/// A panic in another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPanic {
    pub(super) message: String,
    pub(super) location: Option<String>,
    pub(super) backtrace: Option<String>,
}

impl ProcessPanic {
    /// What it said, or a note that it said nothing.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where, as `file:line:column`; `None` when the function has replaced the panic hook.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// The frames, when `RUST_BACKTRACE` asks for them.
    pub fn backtrace(&self) -> Option<&str> {
        self.backtrace.as_deref()
    }
}

impl fmt::Display for ProcessPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.location {
            Some(location) => write!(f, " (at {location})"),
            None => Ok(()),
        }
    }
}

/// Why a function that was to run in another process gave no value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked.
    Panicked(ProcessPanic),
    /// Its process ended before it did: by `exit`, by a signal, by a crash.
    Died {
        /// The process.
        pid: u32,
        /// How it ended.
        status: ExitStatus,
    },
    /// Its argument or its result could not be turned into bytes, or back.
    Codec(CodecError),
    /// Its pool was terminated, or it was killed.
    Terminated,
    /// It was cancelled while it waited to be started.
    Cancelled,
    /// Its pool has given up: the reason is that of every job since.
    Broken(Arc<str>),
    /// The system refused something: processes, descriptors, memory.
    Io(Arc<io::Error>),
}

impl TaskError {
    /// Whether the function panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, TaskError::Panicked(_))
    }

    /// Whether the process ended under the function.
    pub fn is_died(&self) -> bool {
        matches!(self, TaskError::Died { .. })
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Panicked(panic) => write!(f, "the function panicked: {panic}"),
            TaskError::Died { pid, status } => {
                write!(f, "process {pid} ended under the function: {status}")
            }
            TaskError::Codec(error) => error.fmt(f),
            TaskError::Terminated => f.write_str("it was terminated"),
            TaskError::Cancelled => f.write_str("it was cancelled before it began"),
            TaskError::Broken(why) => write!(f, "the pool is broken: {why}"),
            TaskError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TaskError::Codec(error) => Some(error),
            TaskError::Io(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<CodecError> for TaskError {
    fn from(error: CodecError) -> Self {
        TaskError::Codec(error)
    }
}

impl From<io::Error> for TaskError {
    fn from(error: io::Error) -> Self {
        TaskError::Io(Arc::new(error))
    }
}
