//! Why a pool did not take a job; what can be given back is.

use std::error::Error;
use std::fmt;
use std::io;

/// Why [`GreenPool::submit`](super::GreenPool::submit) did not take a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubmitError {
    /// The pool was closed.
    Closed,
    /// The runtime has no room for a task, or is stopping.
    Runtime(io::Error),
}

/// Why [`GreenPool::try_spawn`](super::GreenPool::try_spawn) did not take a job; it is given back where
/// that is possible.
#[non_exhaustive]
pub enum TrySpawnError<F> {
    /// Every seat is taken, or others wait for one.
    Full(F),
    /// The pool was closed.
    Closed(F),
    /// The runtime has no room for a task, or is stopping.
    Runtime(io::Error),
}

const CLOSED: &str = "the pool is closed";

impl<F> TrySpawnError<F> {
    /// The job that was not taken; `None` when the runtime has dropped it.
    pub fn into_inner(self) -> Option<F> {
        match self {
            TrySpawnError::Full(job) | TrySpawnError::Closed(job) => Some(job),
            TrySpawnError::Runtime(_) => None,
        }
    }

    /// Whether there was no seat.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySpawnError::Full(_))
    }

    /// Whether the pool was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, TrySpawnError::Closed(_))
    }
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::Closed => f.write_str(CLOSED),
            SubmitError::Runtime(error) => error.fmt(f),
        }
    }
}

impl Error for SubmitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SubmitError::Closed => None,
            SubmitError::Runtime(error) => error.source(),
        }
    }
}

// The job need not be `Debug`: it is not shown.
impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySpawnError::Full(_) => f.write_str("Full(..)"),
            TrySpawnError::Closed(_) => f.write_str("Closed(..)"),
            TrySpawnError::Runtime(error) => f.debug_tuple("Runtime").field(error).finish(),
        }
    }
}

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySpawnError::Full(_) => f.write_str("every seat of the pool is taken"),
            TrySpawnError::Closed(_) => f.write_str(CLOSED),
            TrySpawnError::Runtime(error) => error.fmt(f),
        }
    }
}

impl<F> Error for TrySpawnError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TrySpawnError::Runtime(error) => error.source(),
            _ => None,
        }
    }
}

impl From<SubmitError> for io::Error {
    fn from(error: SubmitError) -> io::Error {
        match error {
            SubmitError::Closed => io::Error::other(error),
            SubmitError::Runtime(error) => error,
        }
    }
}
