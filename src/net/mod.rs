//! Sockets on which only the task waits: std's names, and a few more.
//!
//! Porting a program from [`std::net`] is changing its `use` lines. What is different, and why:
//!
//! * Names are resolved on another thread ([`ToSocketAddrs`] is ours, with std's shape).
//! * An expired time limit is always `ErrorKind::TimedOut`; std leaves the choice to the system.
//! * Two tasks may use one stream at the same time, one to read and one to write. A second one that
//!   would have to wait in the same direction gets `ErrorKind::ResourceBusy`. Accepters queue.
//! * `close`, on every socket, ends the waits of other tasks and threads.
//! * Time limits and `set_nonblocking` belong to the handle, and are not shared with its clones.
//! * Nothing raises SIGPIPE, even in a program that has restored its default action.
//! * `connect` by name tries the next address after 250 ms, and takes the first that answers.
//! * [`Server`] is what most accept loops become.
//! * Urgent (out-of-band) data is not supported: a byte that is sent so does not wake a reader and is not part of
//!   what it reads, as with std. `SO_OOBINLINE`, by socket2, puts it in line with the rest.
//!
//! A stream is watched by the worker on which a task first waits for it. So connections are spread over
//! the workers when their tasks are spawned: a started task stays where it is, and is best left to do
//! all of its connection's work.

mod addr;
mod dial;
mod face;
#[cfg(feature = "futures-io")]
mod futures_io;
mod listener;
mod listening;
mod retry;
mod server;
mod socket;
mod split;
mod stream;
mod streaming;
mod udp;
pub mod unix;

pub use addr::ToSocketAddrs;
pub use listener::TcpListener;
pub use listening::{Incoming, Listener};
pub use server::{Connection, Report, Server, Stopper};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};
pub use stream::TcpStream;
pub use streaming::Stream;
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};
