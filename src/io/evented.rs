//! Any descriptor that can be polled, so that tasks wait for it instead of blocking their worker.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use crate::driver::registration::Direction;
use crate::sys::poll::{Interest, poll_fd};
use crate::sys::socket::set_nonblocking;

use super::watch::{Aim, Limit, Watch};

/// A descriptor on which tasks can wait: a pipe, a socket of a kind that [`net`](crate::net) does not
/// know, a device, a timer of the system.
///
/// It works from every task of every runtime and from plain threads, by shared reference: one may wait
/// to read while another waits to write. A second one that would have to wait in the same direction gets
/// `ErrorKind::ResourceBusy`. Two `Evented` over one descriptor, or over copies of it, know nothing of each other:
/// both may wait, both are woken, and whoever comes first gets what there is. (A second one over the very same
/// descriptor may take another descriptor; with kqueue, the last one to begin is told alone.)
///
/// The descriptor is watched by the worker on which a task first had to wait for it, and is taken off
/// when this is dropped, on whichever thread. It is set nonblocking; that is a property of the open file,
/// which copies of the descriptor and other processes share. For this reason standard input, which is
/// shared with the shell, should go through [`unblock`](crate::unblock) instead.
///
/// What cannot be polled, such as an ordinary file, is an error of the first wait (`PermissionDenied`).
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use greenloom::io::Evented;
///
/// # greenloom::run(|| {
/// let (reader, writer) = io::pipe()?;
/// let (reader, writer) = (Evented::new(reader)?, Evented::new(writer)?);
/// let task = greenloom::spawn(move || {
///     let mut text = String::new();
///     (&reader).read_to_string(&mut text).map(|_| text)
/// });
/// (&writer).write_all(b"through a pipe")?;
/// drop(writer);
/// assert_eq!(task.join().unwrap()?, "through a pipe");
/// # io::Result::Ok(()) }).unwrap();
/// ```
pub struct Evented<S: AsFd> {
    watch: Watch,
    /// `None` only while it is taken apart.
    source: Option<S>,
}

impl<S: AsFd> Evented<S> {
    /// Takes the descriptor and sets it nonblocking.
    ///
    /// # Errors
    ///
    /// When that cannot be set.
    pub fn new(source: S) -> io::Result<Self> {
        set_nonblocking(source.as_fd(), true)?;
        Ok(Evented::from_nonblocking(source))
    }

    /// For a source whose calls are known not to block.
    pub(crate) fn from_nonblocking(source: S) -> Self {
        Evented {
            watch: Watch::default(),
            source: Some(source),
        }
    }

    /// As `from_nonblocking`, for a Unix socket that is written to far more often than one waits for that.
    #[cfg(feature = "process")]
    pub(crate) fn reading_first(source: S) -> Self {
        Evented {
            watch: Watch::reading_first(),
            source: Some(source),
        }
    }

    /// For a source that has changed hands: whoever watched it for the holder before does so no longer.
    #[cfg(feature = "process")]
    pub(crate) fn settle_here(&mut self) {
        if let Some(source) = &self.source {
            self.watch.settle_here(source.as_fd());
        }
    }

    /// The source itself; its calls do not wait.
    #[inline]
    pub fn get_ref(&self) -> &S {
        self.source.as_ref().expect("it is there until the end")
    }

    /// Gives the source back, still nonblocking, and no longer watched.
    pub fn into_inner(mut self) -> S {
        self.take_off().expect("it is there until the end")
    }

    fn take_off(&mut self) -> Option<S> {
        let source = self.source.take()?;
        self.watch.deregister(source.as_fd());
        Some(source)
    }

    /// Calls `op`, and again each time the source has become readable, until the answer is something
    /// else than `ErrorKind::WouldBlock`.
    ///
    /// # Errors
    ///
    /// What `op` returns; `NotConnected` after [`close`](Self::close); `ResourceBusy` when another one
    /// waits to read; what registering at the system's poller returns.
    ///
    /// # Cancellation
    ///
    /// Unwinds out of a wait, never out of a call of `op` that has answered.
    ///
    /// # Parks
    ///
    /// When `op` would block (`io.read`).
    #[track_caller]
    pub fn read_with<T>(&self, mut op: impl FnMut(&S) -> io::Result<T>) -> io::Result<T> {
        let aim = of_user(aim(Direction::Read, "io.read", Limit::Never));
        self.operate(aim, |source| op(source), |_| false)
    }

    /// As [`read_with`](Self::read_with), for operations that wait to write (`io.write`).
    ///
    /// # Errors
    ///
    /// As for `read_with`.
    #[track_caller]
    pub fn write_with<T>(&self, mut op: impl FnMut(&S) -> io::Result<T>) -> io::Result<T> {
        let aim = of_user(aim(Direction::Write, "io.write", Limit::Never));
        self.operate(aim, |source| op(source), |_| false)
    }

    /// Waits until there is something to read, an end or an error, and takes none of it.
    ///
    /// # Errors
    ///
    /// As for [`read_with`](Self::read_with).
    ///
    /// # Parks
    ///
    /// When there is nothing (`io.wait_readable`).
    #[track_caller]
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait_for(Direction::Read, Limit::Never)
    }

    /// As [`wait_readable`](Self::wait_readable), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and `ErrorKind::TimedOut`.
    #[track_caller]
    pub fn wait_readable_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.wait_for(Direction::Read, Limit::Within(timeout))
    }

    /// Waits until there is room to write, or an error.
    ///
    /// # Errors
    ///
    /// As for [`read_with`](Self::read_with).
    ///
    /// # Parks
    ///
    /// When there is no room (`io.wait_writable`).
    #[track_caller]
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait_for(Direction::Write, Limit::Never)
    }

    /// As [`wait_writable`](Self::wait_writable), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and `ErrorKind::TimedOut`.
    #[track_caller]
    pub fn wait_writable_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.wait_for(Direction::Write, Limit::Within(timeout))
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, direction: Direction, limit: Limit) -> io::Result<()> {
        let (interest, reason) = match direction {
            Direction::Read => (Interest::Read, "io.wait_readable"),
            Direction::Write => (Interest::Write, "io.wait_writable"),
        };
        let look = |source: &S| match poll_fd(source.as_fd(), interest, Some(Duration::ZERO))? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        self.operate(aim(direction, reason, limit), look, |()| false)
    }

    /// Ends all use: tasks and plain threads that wait here are woken, and they and all later operations get
    /// `ErrorKind::NotConnected`. The descriptor itself is closed when this is dropped.
    pub fn close(&self) {
        self.watch.close();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.watch.is_closed()
    }

    /// For a wait on [`Several`](super::Several).
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    #[track_caller]
    #[inline]
    pub(crate) fn operate<T>(
        &self,
        aim: Aim,
        mut op: impl FnMut(&S) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        let source = self.get_ref();
        self.watch
            .operate(source.as_fd(), aim, || op(source), drained)
    }
}

#[inline]
pub(crate) fn aim(direction: Direction, reason: &'static str, limit: Limit) -> Aim {
    Aim {
        direction,
        reason,
        limit,
        is_bare: true,
    }
}

/// For an operation that others have written.
fn of_user(aim: Aim) -> Aim {
    Aim {
        is_bare: false,
        ..aim
    }
}

impl<S: AsFd> Drop for Evented<S> {
    /// Off the reactor first, and only then closed: a number that the system gives to another descriptor
    /// wakes nobody here.
    fn drop(&mut self) {
        drop(self.take_off());
    }
}

impl<S: AsFd> Read for Evented<S>
where
    for<'a> &'a S: Read,
{
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl<S: AsFd> Read for &Evented<S>
where
    for<'a> &'a S: Read,
{
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|mut source| source.read(buffer))
    }
}

impl<S: AsFd> Write for Evented<S>
where
    for<'a> &'a S: Write,
{
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl<S: AsFd> Write for &Evented<S>
where
    for<'a> &'a S: Write,
{
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|mut source| source.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_with(|mut source| source.flush())
    }
}

impl<S: AsFd> AsFd for Evented<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<S: AsFd> AsRawFd for Evented<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<S: AsFd + fmt::Debug> fmt::Debug for Evented<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evented")
            .field("source", self.get_ref())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}
