//! Calls on sockets that never block, whatever the mode of the descriptor, and never raise SIGPIPE.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrAny, recv as sys_recv, recvmsg, send as sys_send,
    sendmsg,
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
