//! The two ways in which a wait ends early, and how they become an `io::Error`.

use std::error::Error;
use std::fmt;
use std::io;

/// The deadline of a wait passed before the thing that was waited for came.
///
/// Nothing was taken: a lock was not acquired, an item was not received. As an [`io::Error`] it
/// has the kind [`io::ErrorKind::TimedOut`] and keeps this value as its inner error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline passed while waiting")
    }
}

impl Error for TimedOut {}

impl From<TimedOut> for io::Error {
    fn from(error: TimedOut) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

/// The task that waits was cancelled, where that is told by a value and not by unwinding.
///
/// As an [`io::Error`] it has the kind [`io::ErrorKind::Other`], on purpose not `Interrupted`:
/// std's own loops (`read_exact`, `write_all`) retry that one for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task was cancelled while waiting")
    }
}

impl Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(error: Cancelled) -> io::Error {
        io::Error::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_keep_their_origin() {
        let error = io::Error::from(TimedOut);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.get_ref().is_some_and(|inner| inner.is::<TimedOut>()));
        let error = io::Error::from(Cancelled);
        assert_ne!(error.kind(), io::ErrorKind::Interrupted);
        assert!(error.get_ref().is_some_and(|inner| inner.is::<Cancelled>()));
    }
}
