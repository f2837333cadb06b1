//! One TCP connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};

use crate::driver::registration::Direction;
use crate::io::{Evented, Limit, aim, closed_by_another};
use crate::sys::socket;

use super::addr::{ToSocketAddrs, first_that_works};

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
    io: Evented<std::net::TcpStream>,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

/// A time limit in nanoseconds; all ones is none.
struct Timeout(AtomicU64);

impl Timeout {
    const NONE: u64 = u64::MAX;

    const fn none() -> Timeout {
        Timeout(AtomicU64::new(Timeout::NONE))
    }

    #[inline]
    fn get(&self) -> Option<Duration> {
        // Relaxed: a number by itself.
        match self.0.load(Ordering::Relaxed) {
            Timeout::NONE => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let nanos = match timeout {
            None => Timeout::NONE,
            Some(Duration::ZERO) => return Err(zero_timeout()),
            // Five hundred years, or no limit.
            Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(Timeout::NONE),
        };
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }

    #[inline]
    fn limit(&self) -> Limit {
        Limit::of(self.get())
    }
}

fn zero_timeout() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a time limit of zero")
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
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
    /// Until the other side has answered (`net.connect`), and to resolve a name.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        first_that_works(address, |address| connect(&address, Limit::Never))
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
        connect(address, Limit::Within(timeout))
    }

    pub(super) fn from_nonblocking(stream: std::net::TcpStream) -> TcpStream {
        TcpStream {
            io: Evented::from_nonblocking(stream),
            read_timeout: Timeout::none(),
            write_timeout: Timeout::none(),
        }
    }

    #[inline]
    fn inner(&self) -> &std::net::TcpStream {
        self.io.get_ref()
    }

    /// Looks at the bytes that come next, without taking them; waits as a read does.
    ///
    /// # Errors
    ///
    /// As for a read.
    ///
    /// # Parks
    ///
    /// When there is nothing yet (`net.peek`).
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let aim = aim(Direction::Read, "net.peek", self.read_timeout.limit());
        let look = |stream: &std::net::TcpStream| socket::peek(stream.as_fd(), buffer);
        let seen = self.io.operate(aim, look, |_| false)?;
        self.check_end(seen)
    }

    /// Waits until there is something to read, or the end, or an error.
    ///
    /// A server that waits so before it has a buffer needs memory only for connections that talk.
    ///
    /// # Errors
    ///
    /// As for a read.
    ///
    /// # Parks
    ///
    /// When there is nothing yet (`net.peek`).
    #[track_caller]
    pub fn wait_readable(&self) -> io::Result<()> {
        self.peek(&mut [0]).map(drop)
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

    /// Ends one or both directions: the other side reads the end, our own reads or writes end too.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner().shutdown(how)
    }

    /// Ends the connection for all who use this handle: waits on any thread end, and they and all later
    /// operations get `ErrorKind::NotConnected`. Clones read the end of the stream. The descriptor is
    /// closed when this is dropped.
    pub fn close(&self) {
        self.io.close();
        // Ends the connection at once, and the waits of plain threads. It may be over already.
        let _ = self.inner().shutdown(Shutdown::Both);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.io.is_closed()
    }

    /// A second, independent handle of the same connection, with the time limits that this one has now.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        let twin = TcpStream::from_nonblocking(self.inner().try_clone()?);
        twin.set_read_timeout(self.read_timeout()?)?;
        twin.set_write_timeout(self.write_timeout()?)?;
        Ok(twin)
    }

    /// Bounds each later read: one that takes longer is `ErrorKind::TimedOut`. `None` is no bound.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.read_timeout.set(timeout)
    }

    /// Bounds each later write: one that takes longer is `ErrorKind::TimedOut`. `None` is no bound.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.write_timeout.set(timeout)
    }

    /// The bound of a read.
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.read_timeout.get())
    }

    /// The bound of a write.
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.write_timeout.get())
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

    /// How long the system goes on sending what was written after the descriptor is closed; zero resets
    /// the connection.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.inner()).set_linger(linger)
    }

    /// See [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.inner()).linger()
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

    /// Takes the error that is pending at the socket, if any.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner().take_error()
    }

    /// An end of the stream that our own `close` brought about, while the call was under way, is none of
    /// the other side's.
    #[inline]
    fn check_end(&self, count: usize) -> io::Result<usize> {
        if count == 0 && self.is_closed() {
            return Err(closed_by_another());
        }
        Ok(count)
    }
}

#[track_caller]
fn connect(address: &SocketAddr, limit: Limit) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&(*address).into()) {
        Ok(()) => return Ok(TcpStream::from_nonblocking(socket.into())),
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    let stream = TcpStream::from_nonblocking(socket.into());
    let aim = aim(Direction::Write, "net.connect", limit);
    stream.io.operate(aim, has_connected, |()| false)?;
    Ok(stream)
}

fn is_under_way(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    // A signal does not end the attempt.
    matches!(errno, Some(Errno::INPROGRESS | Errno::INTR))
}

/// `WouldBlock` while an attempt to connect is under way.
fn has_connected(stream: &std::net::TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            // The attempt may have failed between the two questions.
            stream.take_error()?.map_or(Ok(()), Err)?;
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}

impl Read for &TcpStream {
    #[track_caller]
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let aim = aim(Direction::Read, "net.read", self.read_timeout.limit());
        let call = |stream: &std::net::TcpStream| socket::recv(stream.as_fd(), buffer);
        let got = self.io.operate(aim, call, |&got| is_short(got, room))?;
        self.check_end(got)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        let aim = aim(Direction::Read, "net.read", self.read_timeout.limit());
        let call = |stream: &std::net::TcpStream| socket::recv_vectored(stream.as_fd(), buffers);
        let got = self.io.operate(aim, call, |&got| is_short(got, room))?;
        self.check_end(got)
    }
}

/// Whether a call that moved some of what it was asked to proves that no more could be moved. Zero is
/// the end of the stream, and proves nothing.
#[inline]
fn is_short(moved: usize, asked: usize) -> bool {
    0 < moved && moved < asked
}

impl Write for &TcpStream {
    #[track_caller]
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let aim = aim(Direction::Write, "net.write", self.write_timeout.limit());
        let call = |stream: &std::net::TcpStream| socket::send(stream.as_fd(), bytes);
        self.io
            .operate(aim, call, |&sent| is_short(sent, bytes.len()))
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let asked = buffers.iter().map(|buffer| buffer.len()).sum();
        let aim = aim(Direction::Write, "net.write", self.write_timeout.limit());
        let call = |stream: &std::net::TcpStream| socket::send_vectored(stream.as_fd(), buffers);
        self.io.operate(aim, call, |&sent| is_short(sent, asked))
    }

    /// Does nothing: what is written is on its way.
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[track_caller]
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for TcpStream {
    #[track_caller]
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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

impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = io::Error;

    /// Sets it nonblocking, which its clones share; takes over its time limits.
    fn try_from(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        socket::silence(stream.as_fd())?;
        let (read, write) = (stream.read_timeout()?, stream.write_timeout()?);
        let stream = TcpStream::from_nonblocking(stream);
        stream.set_read_timeout(read)?;
        stream.set_write_timeout(write)?;
        Ok(stream)
    }
}

impl From<TcpStream> for std::net::TcpStream {
    /// A blocking one again, with the same time limits.
    fn from(stream: TcpStream) -> std::net::TcpStream {
        let (read, write) = (stream.read_timeout.get(), stream.write_timeout.get());
        let stream = stream.io.into_inner();
        // An open socket takes these. Clones do not mind: their calls never block.
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(read);
        let _ = stream.set_write_timeout(write);
        stream
    }
}

impl From<OwnedFd> for TcpStream {
    fn from(fd: OwnedFd) -> TcpStream {
        // As std does, this takes any descriptor; one that is no socket fails when it is used.
        let _ = socket::set_nonblocking(fd.as_fd(), true);
        let _ = socket::silence(fd.as_fd());
        TcpStream::from_nonblocking(fd.into())
    }
}

impl From<TcpStream> for OwnedFd {
    fn from(stream: TcpStream) -> OwnedFd {
        std::net::TcpStream::from(stream).into()
    }
}

impl IntoRawFd for TcpStream {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}
