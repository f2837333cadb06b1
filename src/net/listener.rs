//! The listening side of TCP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use socket2::{Domain, Type};

use crate::io::line::Line;
use crate::sys::socket;

use super::addr::{ToSocketAddrs, first_that_works};
use super::face::{listener_face, socket_face};
use super::socket::Socket;
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
    socket: Socket<std::net::TcpListener>,
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
        first_that_works(address, |address| listen(address, false))
    }

    /// As [`bind`](Self::bind), where others may listen too.
    pub(super) fn bind_shared(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first_that_works(address, |address| listen(address, true))
    }

    fn from_socket(socket: Socket<std::net::TcpListener>) -> TcpListener {
        TcpListener {
            socket,
            line: Line::default(),
        }
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// Sets the time to live of packets that are sent.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.get_ref().set_ttl(ttl)
    }

    /// The time to live of packets that are sent.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.get_ref().ttl()
    }
}

fn listen(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_socket(Socket::from_nonblocking(
        socket.into(),
    )))
}

socket_face!(
    TcpListener,
    std::net::TcpListener,
    close,
    "Stops listening, for clones as well: they get an error of the system."
);
listener_face!(TcpListener, TcpStream, SocketAddr, socket::accept);

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            f.field("addr", &address);
        }
        f.field("fd", &self.as_raw_fd()).finish()
    }
}
