//! Where a manager listens: in the file system, on a network, or under a name of the kernel's.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};

use crate::net::unix::SocketAddr as UnixAddress;
use crate::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where a [`Manager`](super::Manager) is found: a path, for processes of one machine, or an address of a network.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::Address;
/// use std::net::SocketAddr;
/// use std::path::Path;
///
/// let path = Address::from(Path::new("/run/stock.socket"));
/// assert_eq!(path.as_path(), Some(Path::new("/run/stock.socket")));
/// let network = Address::from(SocketAddr::from(([127, 0, 0, 1], 7000)));
/// assert_eq!(network.to_string(), "127.0.0.1:7000");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address(Place);

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Place {
    /// Absolute, as bytes: not every path is text.
    Path(Vec<u8>),
    /// Linux's names without files.
    Name(Vec<u8>),
    Network(SocketAddr),
}

impl Address {
    /// A place for a manager of this process's own, which is gone when nobody listens there.
    pub(super) fn private(unique: &[u8]) -> Address {
        let text: String = unique.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("greenloom-manager-{text}");
        match cfg!(any(target_os = "linux", target_os = "android")) {
            true => Address(Place::Name(name.into_bytes())),
            false => Address::from(std::env::temp_dir().join(name)),
        }
    }

    /// The path, if it is one.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Path(path) => Some(Path::new(OsStr::from_bytes(path))),
            _ => None,
        }
    }

    /// The address of a network, if it is one.
    pub fn as_socket_addr(&self) -> Option<SocketAddr> {
        match self.0 {
            Place::Network(address) => Some(address),
            _ => None,
        }
    }

    /// Whether what goes there may leave the machine.
    pub(super) fn is_network(&self) -> bool {
        matches!(self.0, Place::Network(_))
    }

    fn unix(&self) -> Option<io::Result<UnixAddress>> {
        match &self.0 {
            Place::Path(path) => Some(UnixAddress::from_pathname(OsStr::from_bytes(path))),
            Place::Name(name) => Some(named(name)),
            Place::Network(_) => None,
        }
    }

    /// Connects to what listens there.
    ///
    /// # Errors
    /// The system's; `TimedOut`.
    #[track_caller]
    pub(super) fn connect(&self, timeout: Duration) -> io::Result<OwnedFd> {
        match (&self.0, self.unix()) {
            (_, Some(address)) => Ok(UnixStream::connect_addr_timeout(&address?, timeout)?.into()),
            (Place::Network(address), _) => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                ready(stream.into())
            }
            _ => unreachable!("all that is no network is Unix's"),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn named(name: &[u8]) -> io::Result<UnixAddress> {
    use std::os::linux::net::SocketAddrExt;
    UnixAddress::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn named(_name: &[u8]) -> io::Result<UnixAddress> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What a connection over a network needs: small messages leave at once, and a peer whose machine is gone without a
/// word is noticed.
fn ready(stream: OwnedFd) -> io::Result<OwnedFd> {
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address(Place::Network(address))
    }
}

impl From<&Path> for Address {
    /// Made absolute: the processes that use it may be in other folders.
    fn from(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Address(Place::Path(absolute.as_os_str().as_bytes().to_owned()))
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Address::from(path.as_path())
    }
}

impl From<&PathBuf> for Address {
    fn from(path: &PathBuf) -> Self {
        Address::from(path.as_path())
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Path(path) => write!(f, "{}", String::from_utf8_lossy(path)),
            Place::Name(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            Place::Network(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// A socket that listens at an address.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener),
    Network(TcpListener),
}

impl Listener {
    /// Listens; also says where, for a network may choose the port.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub(super) fn bind(address: &Address) -> io::Result<(Listener, Address)> {
        if let Some(unix) = address.unix() {
            let listener = UnixListener::bind_addr(&unix?)?;
            return Ok((Listener::Unix(listener), address.clone()));
        }
        let Some(network) = address.as_socket_addr() else {
            unreachable!("all that is no network is Unix's");
        };
        let listener = TcpListener::bind(network)?;
        let address = Address::from(listener.local_addr()?);
        Ok((Listener::Network(listener), address))
    }

    /// One that another process has bound.
    pub(super) fn inherited(fd: OwnedFd, address: &Address) -> Listener {
        match address.is_network() {
            true => Listener::Network(fd.into()),
            false => Listener::Unix(fd.into()),
        }
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        match self {
            Listener::Unix(listener) => listener.into(),
            Listener::Network(listener) => listener.into(),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system's; once it is closed, `NotConnected`.
    #[track_caller]
    pub(super) fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Listener::Unix(listener) => Ok(listener.accept()?.0.into()),
            Listener::Network(listener) => ready(listener.accept()?.0.into()),
        }
    }

    pub(super) fn close(&self) {
        match self {
            Listener::Unix(listener) => listener.close(),
            Listener::Network(listener) => listener.close(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Listener::Unix(listener) => listener.is_closed(),
            Listener::Network(listener) => listener.is_closed(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Network(listener) => listener.as_fd(),
        }
    }
}
