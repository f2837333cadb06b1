//! The listening side of TCP.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};

use crate::driver::registration::Direction;
use crate::io::{Evented, Limit, aim};
use crate::sys::socket;

use super::addr::{ToSocketAddrs, first_that_works};
use super::line::Line;
use super::stream::TcpStream;

/// Connections that the system completes before they are accepted; it may cut this down.
const BACKLOG: i32 = 4096;

/// A socket that accepts TCP connections: as [`std::net::TcpListener`], but only the task waits.
///
/// Several tasks and plain threads may accept from one listener; they get connections in the order in
/// which they came.
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use greenloom::net::{TcpListener, TcpStream};
///
/// # greenloom::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// greenloom::spawn(move || -> io::Result<()> {
///     for stream in listener.incoming() {
///         let stream = stream?;
///         greenloom::spawn(move || io::copy(&mut &stream, &mut &stream));
///     }
///     Ok(())
/// });
///
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"echo")?;
/// stream.shutdown(std::net::Shutdown::Write)?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer)?;
/// assert_eq!(answer, "echo");
/// # io::Result::Ok(()) }).unwrap();
/// ```
pub struct TcpListener {
    io: Evented<std::net::TcpListener>,
    line: Line,
}

impl TcpListener {
    /// Listens at the first of the addresses that can be had; port 0 lets the system choose.
    ///
    /// As std it sets SO_REUSEADDR, and never SO_REUSEPORT.
    ///
    /// # Errors
    ///
    /// Those of resolving, and the last address's.
    ///
    /// # Parks
    ///
    /// Only to resolve a name.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first_that_works(address, |address| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            std::net::TcpListener::from(socket).try_into()
        })
    }

    fn from_nonblocking(listener: std::net::TcpListener) -> TcpListener {
        TcpListener {
            io: Evented::from_nonblocking(listener),
            line: Line::default(),
        }
    }

    /// Waits for a connection; says who it is from.
    ///
    /// Connections that were gone before they could be accepted are passed over.
    ///
    /// # Errors
    ///
    /// The system's. When the process or the system has no descriptor left (EMFILE, ENFILE) the
    /// connection stays in the queue, and calling again at once will fail again: close something, or
    /// [`sleep`](crate::sleep) a little, before that. `NotConnected` after [`close`](Self::close).
    ///
    /// # Cancellation
    ///
    /// Unwinds out of the wait; no connection is lost.
    ///
    /// # Parks
    ///
    /// When there is no connection, or others wait (`net.accept`).
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_within(Limit::Never)
    }

    /// As [`accept`](Self::accept), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and `ErrorKind::TimedOut`.
    #[track_caller]
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_within(Limit::Within(timeout))
    }

    #[track_caller]
    fn accept_within(&self, limit: Limit) -> io::Result<(TcpStream, SocketAddr)> {
        let (_turn, limit) = self.line.enter("net.accept_line", self.as_fd(), limit)?;
        let aim = aim(Direction::Read, "net.accept", limit);
        let (fd, peer) = self.io.operate(aim, accept_one, |_| false)?;
        Ok((TcpStream::from_nonblocking(fd.into()), peer))
    }

    /// The connections, one after the other, as [`accept`](Self::accept) gives them. It ends when the
    /// listener is [closed](Self::close).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// A second, independent handle of the same socket.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        let twin = self.io.get_ref().try_clone()?;
        Ok(TcpListener::from_nonblocking(twin))
    }

    /// Sets the time to live of packets that are sent.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }

    /// The time to live of packets that are sent.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Takes the error that is pending at the socket, if any.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get_ref().take_error()
    }

    /// Stops listening: whoever waits in [`accept`](Self::accept), on any thread, is woken and gets
    /// `ErrorKind::NotConnected`, and so does whoever comes later. Clones end as well, with an error of
    /// the system. The descriptor is closed when this is dropped.
    pub fn close(&self) {
        self.io.close();
        // Ends the listening at once, and the waits of plain threads. What it says does not matter.
        let _ = SockRef::from(self.io.get_ref()).shutdown(Shutdown::Both);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.io.is_closed()
    }
}

fn accept_one(listener: &std::net::TcpListener) -> io::Result<(OwnedFd, SocketAddr)> {
    loop {
        match socket::accept(listener.as_fd()) {
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

/// The connections of a listener: see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    /// `None` when the listener was closed.
    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        let accepted = self.listener.accept();
        let is_over = accepted.is_err() && self.listener.is_closed();
        (!is_over).then(|| accepted.map(|(stream, _)| stream))
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            f.field("addr", &address);
        }
        f.field("fd", &self.as_raw_fd()).finish()
    }
}

impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = io::Error;

    /// Sets it nonblocking, which its clones share.
    fn try_from(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        Ok(TcpListener::from_nonblocking(listener))
    }
}

impl From<TcpListener> for std::net::TcpListener {
    /// A blocking one again; what clones of it are left must no longer be used by tasks.
    fn from(listener: TcpListener) -> std::net::TcpListener {
        let listener = listener.io.into_inner();
        // A descriptor that is open takes this.
        let _ = listener.set_nonblocking(false);
        listener
    }
}

impl From<OwnedFd> for TcpListener {
    fn from(fd: OwnedFd) -> TcpListener {
        // As std does, this takes any descriptor; one that is no socket fails when it is used.
        let _ = socket::set_nonblocking(fd.as_fd(), true);
        TcpListener::from_nonblocking(fd.into())
    }
}

impl From<TcpListener> for OwnedFd {
    fn from(listener: TcpListener) -> OwnedFd {
        std::net::TcpListener::from(listener).into()
    }
}

impl IntoRawFd for TcpListener {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}
