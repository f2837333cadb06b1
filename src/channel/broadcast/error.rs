//! Why a receive from a broadcast channel gave nothing.

use std::error::Error;
use std::fmt;

/// Why a receive gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// So many values were sent and written over before this receiver came for them. The next receive
    /// gives the oldest that is left.
    Lagged(u64),
    /// Everything has been received, and every sender is gone or the channel was closed.
    Disconnected,
}

/// Why [`Receiver::try_recv`](super::Receiver::try_recv) gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing is there now.
    Empty,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
    /// As [`RecvError::Disconnected`].
    Disconnected,
}

/// Why [`Receiver::recv_timeout`](super::Receiver::recv_timeout) gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// Nothing came in time.
    Timeout,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
    /// As [`RecvError::Disconnected`].
    Disconnected,
}

const ENDED: &str = "receiving from a broadcast channel that nobody sends on";

fn lagged(f: &mut fmt::Formatter<'_>, missed: u64) -> fmt::Result {
    write!(f, "{missed} values of a broadcast channel were missed")
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvError::Lagged(missed) => lagged(f, missed),
            RecvError::Disconnected => f.write_str(ENDED),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryRecvError::Empty => f.write_str("receiving from an empty broadcast channel"),
            TryRecvError::Lagged(missed) => lagged(f, missed),
            TryRecvError::Disconnected => f.write_str(ENDED),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvTimeoutError::Timeout => {
                f.write_str("nothing came through the broadcast channel in time")
            }
            RecvTimeoutError::Lagged(missed) => lagged(f, missed),
            RecvTimeoutError::Disconnected => f.write_str(ENDED),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
