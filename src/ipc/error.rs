//! What can go wrong between processes that speak to one another.

use std::fmt;
use std::io;

use super::broker::Gone;
use super::codec::CodecError;

/// Why a value was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The other end is gone.
    Closed,
    /// The time was over; nothing has left.
    TimedOut,
    /// The value cannot be encoded.
    Codec(CodecError),
    /// The system refused it.
    Io(io::Error),
}

/// Why no value was received.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The other end is gone, and nothing of what it has sent is left.
    Closed,
    /// The time was over; nothing has been taken.
    TimedOut,
    /// What came is no such value. It has been taken; the next can be received.
    Codec(CodecError),
    /// The system, or what came, says that this cannot go on.
    Io(io::Error),
}

/// Whether the error says that the peer is gone.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => SendError::TimedOut,
            _ if is_gone(&error) => SendError::Closed,
            _ => SendError::Io(error),
        }
    }
}

impl From<io::Error> for RecvError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => RecvError::TimedOut,
            // A peer that has died in the midst of a value.
            io::ErrorKind::UnexpectedEof => RecvError::Closed,
            _ if is_gone(&error) => RecvError::Closed,
            _ => RecvError::Io(error),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Closed => f.write_str("sending to an end that is gone"),
            SendError::TimedOut => f.write_str("the time for sending was over"),
            SendError::Codec(error) => error.fmt(f),
            SendError::Io(error) => write!(f, "sending to another process: {error}"),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("receiving from an end that is gone"),
            RecvError::TimedOut => f.write_str("the time for receiving was over"),
            RecvError::Codec(error) => error.fmt(f),
            RecvError::Io(error) => write!(f, "receiving from another process: {error}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SendError::Codec(error) => Some(error),
            SendError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl std::error::Error for RecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecvError::Codec(error) => Some(error),
            RecvError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// The process that serves a shared object is gone, and the object with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected(());

impl From<Gone> for Disconnected {
    fn from(_: Gone) -> Self {
        Disconnected(())
    }
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process that serves this object is gone")
    }
}

impl std::error::Error for Disconnected {}

/// Why an item was not put into a queue between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutError {
    /// There was no room, now or in time.
    Full,
    /// The queue was shut down.
    Shutdown,
    /// The item cannot be encoded.
    Codec(CodecError),
    /// The process that serves the queue is gone.
    Disconnected,
}

/// Why no item was taken out of a queue between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetError {
    /// There was none, now or in time.
    Empty,
    /// The queue was shut down, and nothing is left in it.
    Shutdown,
    /// What came is no such item. It has been taken; out of the queue of a [`Manager`](super::Manager) it has not, and is
    /// still the next.
    Codec(CodecError),
    /// The process that serves the queue is gone.
    Disconnected,
}

impl From<Gone> for PutError {
    fn from(_: Gone) -> Self {
        PutError::Disconnected
    }
}

impl From<Gone> for GetError {
    fn from(_: Gone) -> Self {
        GetError::Disconnected
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Full => f.write_str("the queue is full"),
            PutError::Shutdown => f.write_str("the queue was shut down"),
            PutError::Codec(error) => error.fmt(f),
            PutError::Disconnected => Disconnected(()).fmt(f),
        }
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Empty => f.write_str("the queue is empty"),
            GetError::Shutdown => f.write_str("the queue was shut down"),
            GetError::Codec(error) => error.fmt(f),
            GetError::Disconnected => Disconnected(()).fmt(f),
        }
    }
}

impl std::error::Error for PutError {}
impl std::error::Error for GetError {}
