//! Sockets in the file system: std's names, with waits that suspend only the task.
//!
//! What std keeps in `std::os::unix::net` is here beside TCP. An address is std's
//! [`SocketAddr`]: a path, on Linux also an abstract name, or nothing.

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
