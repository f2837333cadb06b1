//! What listeners of all kinds have in common.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::streaming::Stream;

/// A socket that accepts connections: [`TcpListener`](super::TcpListener) or
/// [`UnixListener`](super::UnixListener).
///
/// It is what a server needs of either; other types cannot implement it.
pub trait Listener: Debug + Send + Sync + sealed::Sealed + 'static {
    /// What a connection is.
    type Stream: Stream;
    /// Where one comes from.
    type Address: Debug + Send + 'static;

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` after [`close`](Self::close).
    fn accept(&self) -> io::Result<(Self::Stream, Self::Address)>;

    /// As [`accept`](Self::accept), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and `ErrorKind::TimedOut`.
    fn accept_timeout(&self, timeout: Duration) -> io::Result<(Self::Stream, Self::Address)>;

    /// Stops listening, and wakes who waits.
    fn close(&self);

    /// Whether [`close`](Self::close) was called.
    fn is_closed(&self) -> bool;

    /// Waits until an accept would not have to wait, and accepts nothing.
    #[doc(hidden)]
    fn wait_acceptable(&self) -> io::Result<()>;

    /// As [`close`](Self::close) for this handle alone: clones, perhaps in other processes, go on listening.
    #[doc(hidden)]
    fn retire(&self);
}

pub(super) mod sealed {
    /// Keeps other types out.
    pub trait Sealed {}
    impl Sealed for crate::net::TcpListener {}
    impl Sealed for crate::net::UnixListener {}
    impl Sealed for crate::net::TcpStream {}
    impl Sealed for crate::net::UnixStream {}
}

/// The connections of a listener, until it is closed: see
/// [`TcpListener::incoming`](super::TcpListener::incoming).
#[derive(Debug)]
pub struct Incoming<'a, L = super::TcpListener> {
    listener: &'a L,
}

impl<'a, L> Incoming<'a, L> {
    pub(super) fn new(listener: &'a L) -> Self {
        Incoming { listener }
    }
}

impl<L: Listener> Iterator for Incoming<'_, L> {
    type Item = io::Result<L::Stream>;

    /// `None` when the listener was closed.
    #[track_caller]
    fn next(&mut self) -> Option<io::Result<L::Stream>> {
        let accepted = self.listener.accept();
        let is_over = accepted.is_err() && self.listener.is_closed();
        (!is_over).then(|| accepted.map(|(stream, _)| stream))
    }
}

/// Accepts again after an error that is the connection's and not the listener's.
pub(super) fn pass_over_the_lost<T>(mut accept: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match accept() {
            Err(error) if concerns_the_connection(&error) => {}
            result => return result,
        }
    }
}

/// Whether an error of accept tells of a connection that is gone, and nothing about the listener. Linux
/// hands pending errors of the network on in this way.
fn concerns_the_connection(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(Errno::from_raw_os_error)
        .is_some_and(|errno| {
            matches!(
                errno,
                Errno::CONNABORTED
                    | Errno::CONNRESET
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NOPROTOOPT
            )
        })
}
