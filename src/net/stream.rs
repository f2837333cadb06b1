//! One TCP connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::TcpKeepalive;

use crate::io::Limit;

use super::addr::ToSocketAddrs;
use super::dial;
use super::face::{moving_face, socket_face, stream_face};
use super::socket::{Socket, is_short, zero_timeout};

/// A TCP connection: as [`std::net::TcpStream`], but only the task waits.
///
/// It is read and written by `&` as well, so one task may read while another writes; see also
/// [`into_split`](Self::into_split). A second reader (or writer) that would have to wait at the same time
/// gets `ErrorKind::ResourceBusy`.
///
/// # Cancellation
///
/// A cancelled read or write unwinds out of its wait and has moved no bytes. Of a `read_exact` or
/// `write_all` that is cancelled half way, some bytes have moved, as with a future that is dropped.
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
/// let server = greenloom::spawn(move || -> io::Result<String> {
///     let (mut stream, _) = listener.accept()?;
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     Ok(text)
/// });
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"hello")?;
/// drop(stream);
/// assert_eq!(server.join().unwrap()?, "hello");
/// # io::Result::Ok(()) }).unwrap();
/// ```
pub struct TcpStream {
    pub(super) socket: Socket<std::net::TcpStream>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// They are tried in the resolver's order, the two families in turn; the next one when the last has failed, or
    /// has not answered within 250 ms, and then both go on (RFC 8305).
    ///
    /// # Errors
    ///
    /// Those of resolving, and the last address's: `ConnectionRefused` when nobody listens there.
    ///
    /// # Cancellation
    ///
    /// Ends the attempt and closes the socket.
    ///
    /// # Parks
    ///
    /// Until the other side has answered (`net.connect`, of several `net.connect_any`), and to resolve a name.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        dial::connect(address).map(TcpStream::from_socket)
    }

    /// Connects to one address, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); `TimedOut`; `InvalidInput` for a `timeout` of zero.
    #[track_caller]
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        dial::connect_one(address, Limit::Within(timeout)).map(TcpStream::from_socket)
    }

    pub(super) fn from_socket(socket: Socket<std::net::TcpStream>) -> TcpStream {
        TcpStream { socket }
    }

    #[inline]
    fn inner(&self) -> &std::net::TcpStream {
        self.socket.get_ref()
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's: there is none any more when the connection was reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner().peer_addr()
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// Whether small writes are sent at once instead of being gathered.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner().set_nodelay(nodelay)
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner().nodelay()
    }

    /// How long the system goes on sending what was written after the descriptor is closed, in whole seconds, to
    /// which a part of one is rounded up; zero resets the connection.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.options().set_linger(linger.map(whole_seconds))
    }

    /// See [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.options().linger()
    }

    /// Sets the time to live of packets that are sent.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner().set_ttl(ttl)
    }

    /// The time to live of packets that are sent.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner().ttl()
    }

    /// Has the system ask after the other side when nothing has come for so long, and end the connection when
    /// there is no answer; `None` asks no more. Everything finer is `socket2`'s, by [`AsFd`](std::os::fd::AsFd).
    ///
    /// # Errors
    ///
    /// The system's: some take whole seconds only, and no zero.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        let options = self.socket.options();
        match idle {
            Some(idle) => options.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
            None => options.set_keepalive(false),
        }
    }

    /// See [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let options = self.socket.options();
        match options.keepalive()? {
            true => options.tcp_keepalive_time().map(Some),
            false => Ok(None),
        }
    }
}

/// As many as the system counts. A cut-off part would make a reset of a short wait, and so would a number too large.
fn whole_seconds(duration: Duration) -> Duration {
    let begun = u64::from(duration.subsec_nanos() > 0);
    let seconds = duration.as_secs().saturating_add(begun);
    Duration::from_secs(seconds.min(i32::MAX as u64))
}

socket_face!(
    TcpStream,
    std::net::TcpStream,
    close,
    "Ends the connection, for clones as well: they read the end of the stream."
);
moving_face!(TcpStream);
stream_face!(TcpStream, is_short);

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            f.field("addr", &address);
        }
        if let Ok(address) = self.peer_addr() {
            f.field("peer", &address);
        }
        f.field("fd", &self.as_raw_fd()).finish()
    }
}
