//! Calls on sockets that never block, whatever the mode of the descriptor, and never raise SIGPIPE.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrAny, recv as sys_recv, recvfrom, recvmsg,
    send as sys_send, sendmsg, sendto,
};

/// Takes bytes from a stream.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(sys_recv(fd, buffer, RecvFlags::DONTWAIT)?.0)
}

/// Looks at the next bytes of a stream, which stay where they are.
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(sys_recv(fd, buffer, RecvFlags::DONTWAIT | RecvFlags::PEEK)?.0)
}

/// As `recv`, into several buffers.
pub(crate) fn recv_vectored(
    fd: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let mut control = RecvAncillaryBuffer::default();
    Ok(recvmsg(fd, buffers, &mut control, RecvFlags::DONTWAIT)?.bytes)
}

/// Gives bytes to a stream; a peer that is gone is `BrokenPipe` and no signal.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(sys_send(fd, bytes, send_flags())?)
}

/// As `send`, from several buffers.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut control = SendAncillaryBuffer::default();
    Ok(sendmsg(fd, buffers, &mut control, send_flags())?)
}

#[cfg(not(target_vendor = "apple"))]
const fn send_flags() -> SendFlags {
    SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL)
}

/// Apple's systems have no such flag: the option is on the socket, see `silence`.
#[cfg(target_vendor = "apple")]
const fn send_flags() -> SendFlags {
    SendFlags::DONTWAIT
}

/// Sees to it that sends on a socket that others made raise no SIGPIPE, where a flag cannot.
pub(crate) fn silence(fd: BorrowedFd<'_>) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(fd, true)?;
    let _ = fd;
    Ok(())
}

/// The next connection of a nonblocking listener: nonblocking, and closed on exec.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let (fd, address) = accept_any(listener)?;
    let address = address.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((fd, address.try_into()?))
}

/// As `accept`, for a listener in the file system.
pub(crate) fn accept_unix(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, UnixAddr)> {
    let (fd, address) = accept_any(listener)?;
    Ok((fd, unix::to_std(address)?))
}

#[cfg(not(target_vendor = "apple"))]
fn accept_any(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    Ok(acceptfrom_with(
        listener,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
    )?)
}

#[cfg(target_vendor = "apple")]
fn accept_any(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use std::os::fd::AsFd;
    let (fd, address) = rustix::net::acceptfrom(listener)?;
    rustix::io::ioctl_fioclex(&fd)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    silence(fd.as_fd())?;
    Ok((fd, address))
}

/// Takes one datagram, or looks at it; says who sent it.
pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    how: Take,
) -> io::Result<(usize, SocketAddr)> {
    let (count, from) = recv_any(fd, buffer, how)?;
    let from = from.ok_or(io::ErrorKind::NotConnected)?;
    Ok((count, from.try_into()?))
}

/// As `recv_from`, for a socket in the file system.
pub(crate) fn recv_from_unix(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    how: Take,
) -> io::Result<(usize, UnixAddr)> {
    let (count, from) = recv_any(fd, buffer, how)?;
    Ok((count, unix::to_std(from)?))
}

/// Whether a datagram is taken, or stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Whole,
    Peek,
}

fn recv_any(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    how: Take,
) -> io::Result<(usize, Option<SocketAddrAny>)> {
    let flags = match how {
        Take::Whole => RecvFlags::DONTWAIT,
        Take::Peek => RecvFlags::DONTWAIT | RecvFlags::PEEK,
    };
    // The other length is that of the whole datagram, of which the buffer may have cut some off.
    let (count, _, from) = recvfrom(fd, buffer, flags)?;
    Ok((count, from))
}

/// Sends one datagram to an address.
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &SocketAddr) -> io::Result<usize> {
    Ok(sendto(fd, bytes, send_flags(), to)?)
}

/// As `send_to`, to a socket in the file system.
pub(crate) fn send_to_unix(fd: BorrowedFd<'_>, bytes: &[u8], to: &UnixAddr) -> io::Result<usize> {
    Ok(sendto(fd, bytes, send_flags(), &unix::from_std(to)?)?)
}

/// Connects a nonblocking socket to one in the file system.
pub(crate) fn connect_unix(fd: BorrowedFd<'_>, to: &UnixAddr) -> io::Result<()> {
    Ok(rustix::net::connect(fd, &unix::from_std(to)?)?)
}

/// Addresses in the file system, as std and as rustix have them.
mod unix {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::SocketAddr;

    use rustix::net::{SocketAddrAny, SocketAddrUnix};

    const WHOLE: usize = size_of::<libc::sockaddr_un>();

    pub(super) fn to_std(address: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
        // Linux lets a path fill the address to the last byte, and counts a nought behind it that is not there:
        // rustix does not expect that. Whoever has such a name goes for nameless.
        let is_whole = |address: &SocketAddrAny| {
            usize::try_from(address.addr_len()).is_ok_and(|length| length <= WHOLE)
        };
        // Some systems say nothing of a peer without a name.
        let known = address.filter(is_whole);
        let Some(known) = known.and_then(|address| SocketAddrUnix::try_from(address).ok()) else {
            return SocketAddr::from_pathname("");
        };
        match (known.path_bytes(), abstract_name(&known)) {
            (Some(path), _) => SocketAddr::from_pathname(OsStr::from_bytes(path)),
            (None, Some(name)) => name,
            (None, None) => SocketAddr::from_pathname(""),
        }
    }

    pub(super) fn from_std(address: &SocketAddr) -> io::Result<SocketAddrUnix> {
        if let Some(path) = address.as_pathname() {
            return Ok(SocketAddrUnix::new(path)?);
        }
        of_abstract_name(address).unwrap_or_else(|| {
            let text = "an address without a name leads nowhere";
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        })
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn abstract_name(address: &SocketAddrUnix) -> Option<io::Result<SocketAddr>> {
        use std::os::linux::net::SocketAddrExt;
        // To rustix no name at all is an empty one.
        let name = address.abstract_name().filter(|name| !name.is_empty());
        name.map(SocketAddr::from_abstract_name::<&[u8]>)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn of_abstract_name(address: &SocketAddr) -> Option<io::Result<SocketAddrUnix>> {
        use std::os::linux::net::SocketAddrExt;
        let name = address.as_abstract_name()?;
        Some(SocketAddrUnix::new_abstract_name(name).map_err(io::Error::from))
    }

    /// There are none.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn abstract_name(_address: &SocketAddrUnix) -> Option<io::Result<SocketAddr>> {
        None
    }

    /// There are none.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn of_abstract_name(_address: &SocketAddr) -> Option<io::Result<SocketAddrUnix>> {
        None
    }
}

/// Makes calls on the descriptor return at once, or not; its copies and the processes that share it
/// are affected as well.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?)
}

/// Whether the other end of a stream socket is closed. Never blocks.
pub(crate) fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, HANG_UP)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}

/// Blocks the thread until the other end of a stream socket is closed, whatever else comes from there.
#[cfg(feature = "process")]
pub(crate) fn wait_for_hang_up(fd: BorrowedFd<'_>) {
    loop {
        let mut fds = [PollFd::from_borrowed_fd(fd, HANG_UP)];
        match rustix::event::poll(&mut fds, None) {
            Err(Errno::INTR) | Ok(0) => {}
            _ => return,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const HANG_UP: PollFlags = PollFlags::RDHUP;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const HANG_UP: PollFlags = PollFlags::HUP;

/// Takes bytes from a Unix socket, and the descriptors that came with them, which are closed when a program
/// is executed. Blocks until there are some if `may_block` and the socket does.
///
/// # Errors
/// `InvalidData` when descriptors came that this process has no room for: they are lost.
pub(crate) fn recv_passed(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
    may_block: bool,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = recv_flags();
    flags.set(RecvFlags::DONTWAIT, !may_block);
    let received = retry(|| recvmsg(fd, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        let text = "descriptors were sent that this process has no room for; raise its limit of open files";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(received.bytes)
}

#[cfg(not(target_vendor = "apple"))]
const fn recv_flags() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

/// Apple's systems have no such flag: a program executed at this very moment inherits them.
#[cfg(target_vendor = "apple")]
const fn recv_flags() -> RecvFlags {
    RecvFlags::empty()
}

/// Gives bytes to a Unix socket, and descriptors with the first of them.
pub(crate) fn send_passing(
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
    may_block: bool,
) -> io::Result<usize> {
    let mut flags = send_flags();
    flags.set(SendFlags::DONTWAIT, !may_block);
    if descriptors.is_empty() {
        let mut control = SendAncillaryBuffer::default();
        return Ok(retry(|| sendmsg(fd, parts, &mut control, flags))?);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        let text = "too many descriptors for one message";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(retry(|| sendmsg(fd, parts, &mut control, flags))?)
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
