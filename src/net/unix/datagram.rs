//! Datagrams within the machine.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use crate::io::closed_by_another;
use crate::net::face::{datagram_face, moving_face, socket_face};
use crate::net::retry::retry;
use crate::net::socket::Socket;
use crate::sys::socket;

/// A socket for datagrams within the machine: as [`std::os::unix::net::UnixDatagram`], but only the task waits.
///
/// Unlike UDP it loses nothing: who sends to a peer that does not read waits.
///
/// # Examples
///
/// ```
/// use greenloom::net::UnixDatagram;
///
/// # greenloom::run(|| {
/// let (near, far) = UnixDatagram::pair()?;
/// near.send(b"one")?;
/// near.send(b"two")?;
/// let mut buffer = [0; 100];
/// assert_eq!(far.recv(&mut buffer)?, 3);
/// assert_eq!(&buffer[..3], b"one");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UnixDatagram {
    socket: Socket<net::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket at `path`.
    ///
    /// # Errors
    ///
    /// The system's: `AddrInUse` when there is such a file; `InvalidInput` for a path that is too long.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        net::UnixDatagram::bind(path)?.try_into()
    }

    /// As [`bind`](Self::bind), at an address.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        net::UnixDatagram::bind_addr(address)?.try_into()
    }

    /// A socket without a name: it can send, and be answered only when it is connected.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        net::UnixDatagram::unbound()?.try_into()
    }

    /// Two sockets without names, connected to each other.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (near, far) = net::UnixDatagram::pair()?;
        Ok((near.try_into()?, far.try_into()?))
    }

    fn from_socket(socket: Socket<net::UnixDatagram>) -> UnixDatagram {
        UnixDatagram { socket }
    }

    /// Makes the socket at `path` the peer of [`send`](Self::send) and [`recv`](Self::recv). Does not wait.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound`, `ConnectionRefused`.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.socket.get_ref().connect(path)
    }

    /// As [`connect`](Self::connect), by address.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.socket.get_ref().connect_addr(address)
    }

    /// Sends one datagram to the socket at `path`.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound`, `ConnectionRefused`; `TimedOut`; `NotConnected` after [`close`](Self::close).
    ///
    /// # Parks
    ///
    /// When the receiver's queue is full (`net.send_to_unix`): the system does not tell when it is no longer, so
    /// it is tried again and again, at growing intervals of up to 50 ms. [`connect`](Self::connect)ed sockets are
    /// told at once.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_addr(datagram, &SocketAddr::from_pathname(path)?)
    }

    /// As [`send_to`](Self::send_to), by address.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn send_to_addr(&self, datagram: &[u8], address: &SocketAddr) -> io::Result<usize> {
        let limit = self.socket.write_timeout.limit();
        let fd = std::os::fd::AsFd::as_fd(&self.socket);
        retry("net.send_to_unix", fd, limit, || match self.is_closed() {
            true => Err(closed_by_another()),
            false => socket::send_to_unix(fd, datagram, address),
        })
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.options().shutdown(how)
    }
}

socket_face!(
    UnixDatagram,
    net::UnixDatagram,
    stop,
    "Ends the use of this handle; clones go on."
);
moving_face!(UnixDatagram);
datagram_face!(UnixDatagram, SocketAddr, socket::recv_from_unix);

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("UnixDatagram");
        if let Ok(address) = self.local_addr() {
            f.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            f.field("peer", &address);
        }
        f.field("fd", &self.as_raw_fd()).finish()
    }
}
