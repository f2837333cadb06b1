//! Why a pool takes no job, or cannot be joined.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::ipc::CodecError;

use super::super::error::TaskError;

/// Why a pool did not do what it was asked to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// It was closed: no more jobs.
    Closed,
    /// It is still open: it can be joined when it has been closed.
    NotClosed,
    /// It was terminated.
    Terminated,
    /// It has given up: its workers cannot begin. Says why.
    Broken(Arc<str>),
    /// A setting that makes no sense. Says which.
    Invalid(&'static str),
    /// The argument could not be encoded.
    Codec(CodecError),
    /// The system refused something.
    Io(Arc<io::Error>),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::Closed => f.write_str("the pool is closed"),
            PoolError::NotClosed => f.write_str("the pool is still open: close it before the join"),
            PoolError::Terminated => f.write_str("the pool was terminated"),
            PoolError::Broken(why) => write!(f, "the pool is broken: {why}"),
            PoolError::Invalid(what) => f.write_str(what),
            PoolError::Codec(error) => error.fmt(f),
            PoolError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PoolError::Codec(error) => Some(error),
            PoolError::Io(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<CodecError> for PoolError {
    fn from(error: CodecError) -> Self {
        PoolError::Codec(error)
    }
}

impl From<io::Error> for PoolError {
    fn from(error: io::Error) -> Self {
        PoolError::Io(Arc::new(error))
    }
}

impl From<PoolError> for TaskError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Terminated => TaskError::Terminated,
            PoolError::Broken(why) => TaskError::Broken(why),
            PoolError::Codec(error) => TaskError::Codec(error),
            PoolError::Io(error) => TaskError::Io(error),
            other => TaskError::Io(Arc::new(io::Error::other(other))),
        }
    }
}

/// Asked whether a job was successful before it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReady(pub(super) ());

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the job has not ended yet")
    }
}

impl std::error::Error for NotReady {}
