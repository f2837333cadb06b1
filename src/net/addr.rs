//! From names to addresses, off the worker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::LazyLock;
use std::{io, iter, option, slice, vec};

use crate::blocking::unblock_apart;
use crate::driver::blocking_pool::{BlockingPool, Config};

/// What can be resolved to addresses: as [`std::net::ToSocketAddrs`], but only the task waits while a
/// name server is asked.
///
/// Numbers are not sent through a resolver, and do not wait.
///
/// # Examples
///
/// ```
/// use greenloom::net::ToSocketAddrs;
/// # greenloom::run(|| {
/// let mut found = "localhost:80".to_socket_addrs()?;
/// assert!(found.all(|address| address.ip().is_loopback()));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which they should be tried.
    type Iter: Iterator<Item = SocketAddr>;

    /// Resolves.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is no address, such as a missing port; otherwise the resolver's.
    ///
    /// # Parks
    ///
    /// For names only (`net.resolve`). Cancelled, it leaves the resolver to end by itself, which nobody waits for:
    /// not even a runtime that stops.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Threads that ask the system's resolver. They are no runtime's: a name server that does not answer, which takes
/// half a minute, would keep a runtime from stopping, and many such names would keep its files waiting.
static RESOLVERS: LazyLock<BlockingPool> = LazyLock::new(|| {
    BlockingPool::new(Config {
        serves_all: true,
        ..Config::default()
    })
});

/// Asks the system's resolver, on a thread that may block.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place where it runs off the worker"
)]
fn resolve(name: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    let name = name.to_owned();
    let ask = move || std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port));
    unblock_apart(&RESOLVERS, "net.resolve", ask)
}

fn one(address: SocketAddr) -> vec::IntoIter<SocketAddr> {
    vec![address].into_iter()
}

impl ToSocketAddrs for SocketAddr {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(Some(*self).into_iter())
    }
}

/// For what [`SocketAddr`] can be made from without asking anybody.
macro_rules! by_conversion {
    ($($from:ty),*) => {$(
        impl ToSocketAddrs for $from {
            type Iter = option::IntoIter<SocketAddr>;
            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                SocketAddr::from(*self).to_socket_addrs()
            }
        }
    )*};
}

by_conversion!(
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(one(SocketAddr::new(ip, port))),
            Err(_) => resolve(host, port),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(address) = self.parse() {
            return Ok(one(address));
        }
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("an address without a port"))?;
        let port = port
            .parse()
            .map_err(|_| invalid("the port of an address is no number up to 65535"))?;
        resolve(host, port)
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Copied<slice::Iter<'a, SocketAddr>>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// Tries `attempt` with each address in turn, until one succeeds; the last failure counts.
pub(super) fn first_that_works<T>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_addresses))
}

/// What is resolved to nothing leads nowhere.
pub(super) fn no_addresses() -> io::Error {
    let text = "could not resolve to any addresses";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
