//! One connection within the machine.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Type};

use crate::io::Limit;
use crate::net::face::{moving_face, socket_face, stream_face};
use crate::net::retry::retry;
use crate::net::socket::{Socket, proves_nothing, zero_timeout};
use crate::sys::socket;

/// A connection within the machine: as [`std::os::unix::net::UnixStream`], but only the task waits.
///
/// What is said at [`TcpStream`](crate::net::TcpStream) of reading and writing at the same time, of halves and
/// of cancellation holds here too.
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use greenloom::net::UnixStream;
///
/// # greenloom::run(|| {
/// let (mut near, mut far) = UnixStream::pair()?;
/// let echo = greenloom::spawn(move || {
///     let mut word = [0; 5];
///     far.read_exact(&mut word)?;
///     far.write_all(&word)
/// });
/// near.write_all(b"hello")?;
/// let mut answer = String::new();
/// near.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello");
/// # echo.join().unwrap() }).unwrap();
/// ```
pub struct UnixStream {
    pub(in crate::net) socket: Socket<net::UnixStream>,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound` where there is no such file, `ConnectionRefused` where nobody listens;
    /// `InvalidInput` for a path that is too long.
    ///
    /// # Cancellation
    ///
    /// Ends the attempt and closes the socket.
    ///
    /// # Parks
    ///
    /// While the listener has no room for one more (`net.connect_unix`): the system tells of no end of that, so
    /// it is tried again and again, at growing intervals of up to 50 ms.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        connect(&SocketAddr::from_pathname(path)?, Limit::Never)
    }

    /// As [`connect`](Self::connect), to an address.
    ///
    /// # Errors
    ///
    /// As there; `InvalidInput` for an address without a name.
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        connect(address, Limit::Never)
    }

    /// As [`connect`](Self::connect), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there; `TimedOut`; `InvalidInput` for a `timeout` of zero.
    #[track_caller]
    pub fn connect_timeout(path: impl AsRef<Path>, timeout: Duration) -> io::Result<UnixStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        connect(&SocketAddr::from_pathname(path)?, Limit::Within(timeout))
    }

    /// As [`connect_addr`](Self::connect_addr), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there; `TimedOut`; `InvalidInput` for a `timeout` of zero.
    #[track_caller]
    pub fn connect_addr_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<UnixStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        connect(address, Limit::Within(timeout))
    }

    /// Two ends of a connection without a name.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (near, far) = net::UnixStream::pair()?;
        Ok((near.try_into()?, far.try_into()?))
    }

    pub(super) fn from_socket(socket: Socket<net::UnixStream>) -> UnixStream {
        UnixStream { socket }
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().peer_addr()
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }
}

socket_face!(
    UnixStream,
    net::UnixStream,
    close,
    "Ends the connection, for clones as well: they read the end of the stream."
);
moving_face!(UnixStream);
stream_face!(UnixStream, proves_nothing);

#[track_caller]
fn connect(address: &SocketAddr, limit: Limit) -> io::Result<UnixStream> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let reach = || socket::connect_unix(socket.as_fd(), address);
    retry("net.connect_unix", socket.as_fd(), limit, reach)?;
    let stream = net::UnixStream::from(std::os::fd::OwnedFd::from(socket));
    Ok(UnixStream::from_socket(Socket::from_nonblocking(stream)))
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("UnixStream");
        if let Ok(address) = self.local_addr() {
            f.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            f.field("peer", &address);
        }
        f.field("fd", &self.as_raw_fd()).finish()
    }
}
