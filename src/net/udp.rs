//! Datagrams over IP.

use std::fmt;
use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::socket;

use super::addr::{ToSocketAddrs, first_that_works};
use super::face::{datagram_face, moving_face, socket_face};
use super::socket::Socket;

/// A UDP socket: as [`std::net::UdpSocket`], but only the task waits.
///
/// One task may receive while another sends, by shared reference. A second receiver that would have to wait at
/// the same time gets `ErrorKind::ResourceBusy`; [`try_clone`](Self::try_clone) handles are independent.
///
/// # Examples
///
/// ```
/// use greenloom::net::UdpSocket;
///
/// # greenloom::run(|| {
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(server.local_addr()?)?;
/// greenloom::spawn(move || {
///     let mut buffer = [0; 1500];
///     let (length, from) = server.recv_from(&mut buffer)?;
///     server.send_to(&buffer[..length], from)
/// });
/// client.send(b"ping")?;
/// let mut answer = [0; 1500];
/// let length = client.recv(&mut answer)?;
/// assert_eq!(&answer[..length], b"ping");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UdpSocket {
    socket: Socket<net::UdpSocket>,
}

/// Options that std has under the same name, passed on.
macro_rules! options {
    ($($(#[$doc:meta])* $set:ident / $get:ident: $value:ty;)*) => {
        impl UdpSocket {$(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn $set(&self, value: $value) -> io::Result<()> {
                self.socket.get_ref().$set(value)
            }

            /// What the setter of the same name has set.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn $get(&self) -> io::Result<$value> {
                self.socket.get_ref().$get()
            }
        )*}
    };
}

options! {
    /// Sets the time to live of packets that are sent.
    set_ttl / ttl: u32;
    /// Allows to send to broadcast addresses.
    set_broadcast / broadcast: bool;
    /// Whether multicast packets that are sent come back to this machine's own receivers.
    set_multicast_loop_v4 / multicast_loop_v4: bool;
    /// Sets the time to live of multicast packets that are sent; 1, the default, keeps them in the local net.
    set_multicast_ttl_v4 / multicast_ttl_v4: u32;
    /// Whether multicast packets that are sent come back to this machine's own receivers.
    set_multicast_loop_v6 / multicast_loop_v6: bool;
}

/// Membership in groups, passed on to std.
macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident($group:ident, $interface:ty);)*) => {
        impl UdpSocket {$(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn $name(&self, group: &$group, interface: $interface) -> io::Result<()> {
                self.socket.get_ref().$name(group, interface)
            }
        )*}
    };
}

groups! {
    /// Receives what is sent to the multicast `group`, through the interface with this address.
    join_multicast_v4(Ipv4Addr, &Ipv4Addr);
    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    leave_multicast_v4(Ipv4Addr, &Ipv4Addr);
    /// Receives what is sent to the multicast `group`, through the interface with this index.
    join_multicast_v6(Ipv6Addr, u32);
    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    leave_multicast_v6(Ipv6Addr, u32);
}

impl UdpSocket {
    /// Binds to the first of the addresses that can be had; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// Those of resolving, and the last address's.
    ///
    /// # Parks
    ///
    /// Only to resolve a name.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        first_that_works(address, |address| net::UdpSocket::bind(address)?.try_into())
    }

    fn from_socket(socket: Socket<net::UdpSocket>) -> UdpSocket {
        UdpSocket { socket }
    }

    /// Makes the first of the addresses that works the peer of [`send`](Self::send) and [`recv`](Self::recv), and
    /// drops what comes from others. Sends nothing.
    ///
    /// # Errors
    ///
    /// Those of resolving, and the last address's.
    ///
    /// # Parks
    ///
    /// Only to resolve a name.
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        first_that_works(address, |address| self.socket.get_ref().connect(address))
    }

    /// Sends one datagram to the first of the addresses, as std does.
    ///
    /// # Errors
    ///
    /// Those of resolving; the system's; `TimedOut`; `ResourceBusy` when another one waits to write;
    /// `NotConnected` after [`close`](Self::close).
    ///
    /// # Parks
    ///
    /// When the system has no room (`net.send_to`), and to resolve a name.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let Some(address) = address.to_socket_addrs()?.next() else {
            let text = "no addresses to send data to";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let call = |fd: BorrowedFd<'_>| socket::send_to(fd, datagram, &address);
        self.socket.write("net.send_to", call, |_| false)
    }

    /// The interface with this address sends what goes to multicast groups.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_if_v4(&self, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.options().set_multicast_if_v4(interface)
    }

    /// The interface with this index sends what goes to multicast groups.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        self.socket.options().set_multicast_if_v6(interface)
    }
}

socket_face!(
    UdpSocket,
    net::UdpSocket,
    stop,
    "Ends the use of this handle; clones go on."
);
moving_face!(UdpSocket);
datagram_face!(UdpSocket, SocketAddr, socket::recv_from);

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("UdpSocket");
        if let Ok(address) = self.local_addr() {
            f.field("addr", &address);
        }
        if let Ok(address) = self.peer_addr() {
            f.field("peer", &address);
        }
        f.field("fd", &self.as_raw_fd()).finish()
    }
}
