//! What streams of all kinds have in common.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::io::Duplex;

use super::listening::sealed::Sealed;

/// A connection: [`TcpStream`](super::TcpStream) or [`UnixStream`](super::UnixStream).
///
/// It is what halves and servers need of either; other types cannot implement it.
pub trait Stream:
    Read + Write + Duplex + AsFd + Debug + Send + Sync + Sealed + Sized + 'static
{
    /// Looks at the bytes that come next, without taking them.
    ///
    /// # Errors
    ///
    /// As for a read.
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Ends one or both directions.
    ///
    /// # Errors
    ///
    /// The system's.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Ends the connection for all who use this handle.
    fn close(&self);

    /// Whether [`close`](Self::close) was called.
    fn is_closed(&self) -> bool;

    /// Bounds each later read.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Bounds each later write.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
}
