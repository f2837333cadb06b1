//! The listening side of connections within the machine.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use crate::io::line::Line;
use crate::net::face::{listener_face, socket_face};
use crate::net::socket::Socket;
use crate::sys::socket;

use super::stream::UnixStream;

/// A socket in the file system that accepts connections: as [`std::os::unix::net::UnixListener`], but only the
/// task waits.
///
/// Several tasks and plain threads may accept from one listener; they get connections in the order in
/// which they came. As with std, the file stays when the listener is gone: remove it before binding there again.
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use greenloom::net::{UnixListener, UnixStream};
///
/// # greenloom::run(|| {
/// let path = std::env::temp_dir().join(format!("greenloom-doc-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let mut near = UnixStream::connect(&path)?;
/// let (mut far, _) = listener.accept()?;
/// std::fs::remove_file(&path)?;
/// near.write_all(b"hello")?;
/// drop(near);
/// let mut text = String::new();
/// far.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # io::Result::Ok(()) }).unwrap();
/// ```
pub struct UnixListener {
    socket: Socket<net::UnixListener>,
    line: Line,
}

impl UnixListener {
    /// Makes a socket at `path` and listens there.
    ///
    /// # Errors
    ///
    /// The system's: `AddrInUse` when there is such a file, even if nobody listens; `InvalidInput` for a path
    /// that is too long.
    ///
    /// # Parks
    ///
    /// Never.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        net::UnixListener::bind(path)?.try_into()
    }

    /// As [`bind`](Self::bind), at an address.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        net::UnixListener::bind_addr(address)?.try_into()
    }

    fn from_socket(socket: Socket<net::UnixListener>) -> UnixListener {
        UnixListener {
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
}

socket_face!(
    UnixListener,
    net::UnixListener,
    close,
    "Stops listening, for clones as well: they get an error of the system."
);
listener_face!(UnixListener, UnixStream, SocketAddr, socket::accept_unix);

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("UnixListener");
        if let Ok(address) = self.local_addr() {
            f.field("local", &address);
        }
        f.field("fd", &self.as_raw_fd()).finish()
    }
}
