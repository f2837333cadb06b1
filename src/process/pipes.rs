//! The near ends of a child's pipes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use crate::driver::registration::Direction;
use crate::io::{Evented, Limit, aim};
use crate::sys::socket::set_nonblocking;

/// The pipe to a child's standard input; dropping it is the end of that input.
///
/// As [`std::process::ChildStdin`], but only the task waits when the pipe is full. Works by shared
/// reference; a second writer that would have to wait gets `ErrorKind::ResourceBusy`.
pub struct ChildStdin {
    io: Evented<std::process::ChildStdin>,
}

/// The pipe from a child's standard output.
///
/// As [`std::process::ChildStdout`], but only the task waits when there is nothing to read. Works by shared
/// reference; a second reader that would have to wait gets `ErrorKind::ResourceBusy`. As another program's
/// input ([`Stdio::from`]) it is a blocking pipe again.
pub struct ChildStdout {
    io: Evented<std::process::ChildStdout>,
}

/// The pipe from a child's standard error: see [`ChildStdout`].
pub struct ChildStderr {
    io: Evented<std::process::ChildStderr>,
}

impl Write for &ChildStdin {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let aim = aim(Direction::Write, "process.write", Limit::Never);
        let write = |mut pipe: &std::process::ChildStdin| pipe.write(bytes);
        self.io.operate(aim, write, |_| false)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let aim = aim(Direction::Write, "process.write", Limit::Never);
        let write = |mut pipe: &std::process::ChildStdin| pipe.write_vectored(buffers);
        self.io.operate(aim, write, |_| false)
    }

    /// Does nothing: what is written is in the pipe.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that can be read: what is the same for both.
macro_rules! readable {
    ($name:ident, $reason:literal) => {
        impl Read for &$name {
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let aim = aim(Direction::Read, $reason, Limit::Never);
                let read = |pipe: &std::process::$name| Ok(rustix::io::read(pipe, &mut *buffer)?);
                self.io.operate(aim, read, |_| false)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let aim = aim(Direction::Read, $reason, Limit::Never);
                let read = |pipe: &std::process::$name| Ok(rustix::io::readv(pipe, buffers)?);
                self.io.operate(aim, read, |_| false)
            }
        }

        impl Read for $name {
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(buffers)
            }
        }
    };
}

readable!(ChildStdout, "process.read_stdout");
readable!(ChildStderr, "process.read_stderr");

macro_rules! pipe {
    ($name:ident) => {
        impl $name {
            pub(super) fn evented(&self) -> &Evented<std::process::$name> {
                &self.io
            }

            /// Wakes a task that waits here; it and all later operations get `ErrorKind::NotConnected`.
            /// The descriptor is closed when this is dropped.
            pub fn close(&self) {
                self.io.close();
            }

            /// Whether [`close`](Self::close) was called.
            pub fn is_closed(&self) -> bool {
                self.io.is_closed()
            }
        }

        impl TryFrom<std::process::$name> for $name {
            type Error = io::Error;

            /// Sets our end nonblocking; the child's end is not concerned.
            fn try_from(pipe: std::process::$name) -> io::Result<$name> {
                let io = Evented::new(pipe)?;
                Ok($name { io })
            }
        }

        impl From<$name> for std::process::$name {
            /// A blocking one again.
            fn from(pipe: $name) -> std::process::$name {
                let pipe = pipe.io.into_inner();
                // An open pipe takes this.
                let _ = set_nonblocking(pipe.as_fd(), false);
                pipe
            }
        }

        impl From<$name> for Stdio {
            /// For the next program of a pipeline; blocking again, as programs expect it.
            fn from(pipe: $name) -> Stdio {
                std::process::$name::from(pipe).into()
            }
        }

        impl From<$name> for OwnedFd {
            /// A blocking one again.
            fn from(pipe: $name) -> OwnedFd {
                std::process::$name::from(pipe).into()
            }
        }

        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> $name {
                // As std does, this takes any descriptor; one that is no pipe fails when it is used.
                let _ = set_nonblocking(fd.as_fd(), true);
                let io = Evented::from_nonblocking(std::process::$name::from(fd));
                $name { io }
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.io.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.io.as_raw_fd()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("fd", &self.as_raw_fd())
                    .finish_non_exhaustive()
            }
        }
    };
}

pipe!(ChildStdin);
pipe!(ChildStdout);
pipe!(ChildStderr);
