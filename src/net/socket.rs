//! What all sockets have in common: a descriptor that tasks wait for, and limits of time.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "futures-io")]
use std::task::{Poll, Waker};
use std::time::Duration;

use socket2::SockRef;

use crate::driver::registration::Direction;
use crate::io::{Channel, Evented, Limit, Several, aim, closed_by_another};
use crate::sys::socket;

/// A socket of std under the eyes of a reactor; the public types are faces of this.
pub(super) struct Socket<S: AsFd> {
    io: Evented<S>,
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
}

/// A time limit in nanoseconds; all ones is none.
pub(super) struct Timeout {
    /// What operations go by: the limit that is set, or nought while nothing may wait.
    in_force: AtomicU64,
    set: AtomicU64,
}

impl Timeout {
    const NONE: u64 = u64::MAX;
    const NOW: u64 = 0;

    const fn none() -> Timeout {
        Timeout {
            in_force: AtomicU64::new(Timeout::NONE),
            set: AtomicU64::new(Timeout::NONE),
        }
    }

    pub(super) fn get(&self) -> Option<Duration> {
        // Relaxed, here and below: numbers by themselves.
        match self.set.load(Ordering::Relaxed) {
            Timeout::NONE => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn may_wait(&self) -> bool {
        self.in_force.load(Ordering::Relaxed) != Timeout::NOW
    }

    fn forbid_waiting(&self, is_forbidden: bool) {
        let limit = match is_forbidden {
            true => Timeout::NOW,
            false => self.set.load(Ordering::Relaxed),
        };
        self.in_force.store(limit, Ordering::Relaxed);
    }

    pub(super) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let nanos = match timeout {
            None => Timeout::NONE,
            Some(Duration::ZERO) => return Err(zero_timeout()),
            // Five hundred years, or no limit.
            Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(Timeout::NONE),
        };
        self.set.store(nanos, Ordering::Relaxed);
        if self.may_wait() {
            self.in_force.store(nanos, Ordering::Relaxed);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn limit(&self) -> Limit {
        match self.in_force.load(Ordering::Relaxed) {
            Timeout::NONE => Limit::Never,
            Timeout::NOW => Limit::Now,
            nanos => Limit::Within(Duration::from_nanos(nanos)),
        }
    }

    /// For what is nothing but a wait.
    pub(super) fn patience(&self) -> Limit {
        Limit::of(self.get())
    }
}

pub(super) fn zero_timeout() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a time limit of zero")
}

impl<S: AsFd> Socket<S> {
    pub(super) fn from_nonblocking(source: S) -> Self {
        Socket {
            io: Evented::from_nonblocking(source),
            read_timeout: Timeout::none(),
            write_timeout: Timeout::none(),
        }
    }

    /// Takes over one that others made, with its time limits.
    pub(super) fn adopt(source: S) -> io::Result<Self> {
        socket::set_nonblocking(source.as_fd(), true)?;
        socket::silence(source.as_fd())?;
        let options = SockRef::from(&source);
        let (read, write) = (options.read_timeout()?, options.write_timeout()?);
        let socket = Socket::from_nonblocking(source);
        socket.read_timeout.set(read)?;
        socket.write_timeout.set(write)?;
        Ok(socket)
    }

    /// As std does, takes any descriptor: one that is no socket fails when it is used.
    pub(super) fn from_descriptor(fd: OwnedFd) -> Self
    where
        S: From<OwnedFd>,
    {
        let _ = socket::set_nonblocking(fd.as_fd(), true);
        let _ = socket::silence(fd.as_fd());
        Socket::from_nonblocking(fd.into())
    }

    /// A blocking one again, with the same time limits.
    pub(super) fn surrender(self) -> S {
        // What is less than the system can count would be no limit to it.
        let countable = |limit: Duration| limit.max(Duration::from_micros(1));
        let (read, write) = (self.read_timeout.get(), self.write_timeout.get());
        let (read, write) = (read.map(countable), write.map(countable));
        let may_wait = self.read_timeout.may_wait();
        let source = self.io.into_inner();
        // An open socket takes these. Clones do not mind: their calls never block.
        let _ = socket::set_nonblocking(source.as_fd(), !may_wait);
        let options = SockRef::from(&source);
        let _ = options.set_read_timeout(read);
        let _ = options.set_write_timeout(write);
        source
    }

    /// A second handle of the same socket, with the time limits that this one has now.
    pub(super) fn twin(&self) -> io::Result<Self>
    where
        S: From<OwnedFd>,
    {
        let twin = Socket::from_nonblocking(self.as_fd().try_clone_to_owned()?.into());
        twin.read_timeout.set(self.read_timeout.get())?;
        twin.write_timeout.set(self.write_timeout.get())?;
        twin.set_nonblocking(!self.read_timeout.may_wait());
        Ok(twin)
    }

    #[inline]
    pub(super) fn get_ref(&self) -> &S {
        self.io.get_ref()
    }

    #[inline]
    pub(super) fn options(&self) -> SockRef<'_> {
        SockRef::from(self.get_ref())
    }

    /// Repeats `call` until it does not block, waiting in between for something to read. `drained` says of
    /// an answer that it proves that there is no more.
    #[track_caller]
    #[inline]
    pub(super) fn read<T>(
        &self,
        reason: &'static str,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        let aim = aim(Direction::Read, reason, self.read_timeout.limit());
        self.io.operate(aim, |source| call(source.as_fd()), drained)
    }

    /// As `read`, for calls that wait for room to write.
    #[track_caller]
    #[inline]
    pub(super) fn write<T>(
        &self,
        reason: &'static str,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        self.write_within(reason, self.write_timeout.limit(), call, drained)
    }

    /// As `write`, with a limit of its own.
    #[track_caller]
    #[inline]
    pub(super) fn write_within<T>(
        &self,
        reason: &'static str,
        limit: Limit,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        let aim = aim(Direction::Write, reason, limit);
        self.io.operate(aim, |source| call(source.as_fd()), drained)
    }

    /// As `read`, with a limit of its own.
    #[track_caller]
    pub(super) fn read_within<T>(
        &self,
        reason: &'static str,
        limit: Limit,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let aim = aim(Direction::Read, reason, limit);
        self.io
            .operate(aim, |source| call(source.as_fd()), |_| false)
    }

    /// As `read`, for a future.
    #[cfg(feature = "futures-io")]
    pub(super) fn poll_read(
        &self,
        waker: &Waker,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        drained: impl Fn(&usize) -> bool,
    ) -> Poll<io::Result<usize>> {
        let call = || call(self.as_fd()).and_then(|got| self.check_end(got));
        let watch = self.io.watch();
        watch.poll_operate(self.as_fd(), Direction::Read, waker, call, drained)
    }

    /// As `write`, for a future.
    #[cfg(feature = "futures-io")]
    pub(super) fn poll_write(
        &self,
        waker: &Waker,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        drained: impl Fn(&usize) -> bool,
    ) -> Poll<io::Result<usize>> {
        let call = || call(self.as_fd());
        let watch = self.io.watch();
        watch.poll_operate(self.as_fd(), Direction::Write, waker, call, drained)
    }

    /// For a copy that leaves the bytes in the kernel, which waits.
    pub(super) fn channel(&self) -> Option<Channel<'_>> {
        let limits = [self.read_timeout.get(), self.write_timeout.get()];
        let may_wait = self.read_timeout.may_wait();
        may_wait.then(|| Channel::new(self.io.watch(), self.io.as_fd(), limits))
    }

    /// Whether calls on this handle give `WouldBlock` instead of waiting. The descriptor is nonblocking anyway.
    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.read_timeout.forbid_waiting(nonblocking);
        self.write_timeout.forbid_waiting(nonblocking);
    }

    /// For a wait for this one and others.
    pub(super) fn add_to<'a>(&'a self, several: &mut Several<'a>, direction: Direction) {
        several.add(self.io.watch(), self.io.as_fd(), direction);
    }

    /// Waits until a read, or a write, would not have to wait.
    #[track_caller]
    pub(super) fn wait(&self, direction: Direction, limit: Limit) -> io::Result<()> {
        self.io.wait_for(direction, limit)?;
        match self.is_closed() {
            true => Err(closed_by_another()),
            false => Ok(()),
        }
    }

    /// Marks it closed, wakes its waiters, and ends what the kernel has of it for its clones.
    pub(super) fn close(&self) {
        self.io.close();
        // It may be over already, or not be connected; that wakes as well.
        let _ = self.options().shutdown(Shutdown::Both);
    }

    /// Marks this handle closed and wakes its waiters; the socket itself goes on for its clones.
    pub(super) fn stop(&self) {
        self.io.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.io.is_closed()
    }

    /// An end of the stream that our own `close` brought about, while the call was under way, is none of
    /// the other side's.
    #[inline]
    pub(super) fn check_end(&self, count: usize) -> io::Result<usize> {
        if count == 0 && self.is_closed() {
            return Err(closed_by_another());
        }
        Ok(count)
    }
}

impl<S: AsFd> AsFd for Socket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// Whether a call that moved some of what it was asked to proves that no more could be moved. Zero is
/// the end of the stream, and proves nothing.
#[inline]
pub(super) fn is_short(moved: usize, asked: usize) -> bool {
    0 < moved && moved < asked
}

/// In the place of [`is_short`] for reads within the machine: they end where descriptors or credentials were sent
/// along with the bytes, whatever comes behind them.
#[inline]
pub(super) fn proves_nothing(_moved: usize, _asked: usize) -> bool {
    false
}
