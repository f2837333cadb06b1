//! What can go wrong with a coroutine: one small type for each family of calls, the value given back.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;

/// There was no memory for the stack of a new coroutine.
///
/// The source is the [`io::Error`] of the mapping; it names the limit that was met.
#[derive(Debug)]
pub struct StackError(pub(super) io::Error);

impl StackError {
    /// The error of the mapping itself.
    pub fn into_io_error(self) -> io::Error {
        self.0
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no stack for a coroutine: {}", self.0)
    }
}

impl Error for StackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl From<StackError> for io::Error {
    fn from(error: StackError) -> io::Error {
        error.0
    }
}

/// Why a coroutine or generator was not resumed. The input comes back in it.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::{Coroutine, ResumeError};
///
/// let once = Coroutine::<u32, (), u32>::new(|_, n| n + 1);
/// once.resume(1).unwrap();
/// assert!(matches!(once.resume(2), Err(ResumeError::Finished(2))));
/// ```
#[non_exhaustive]
pub enum ResumeError<In = ()> {
    /// The body has returned, panicked or was closed before.
    Finished(In),
    /// The body is running now: the call comes from inside it, or from another task or greenlet while
    /// the one that resumed it waits.
    AlreadyRunning(In),
    /// The thread is running its thread-local destructors: what the body borrows may be gone already.
    ThreadExited(In),
}

impl<In> ResumeError<In> {
    /// The input that was not delivered.
    pub fn into_inner(self) -> In {
        match self {
            ResumeError::Finished(value)
            | ResumeError::AlreadyRunning(value)
            | ResumeError::ThreadExited(value) => value,
        }
    }

    /// Whether the body had ended before.
    pub fn is_finished(&self) -> bool {
        matches!(self, ResumeError::Finished(_))
    }

    /// Whether the body is running.
    pub fn is_already_running(&self) -> bool {
        matches!(self, ResumeError::AlreadyRunning(_))
    }
}

impl<In> fmt::Debug for ResumeError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResumeError::Finished(_) => "Finished(..)",
            ResumeError::AlreadyRunning(_) => "AlreadyRunning(..)",
            ResumeError::ThreadExited(_) => "ThreadExited(..)",
        })
    }
}

impl<In> fmt::Display for ResumeError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResumeError::Finished(_) => FINISHED,
            ResumeError::AlreadyRunning(_) => RUNNING,
            ResumeError::ThreadExited(_) => EXITED,
        })
    }
}

impl<In> Error for ResumeError<In> {}

const FINISHED: &str = "coroutine already finished";
const RUNNING: &str = "coroutine already executing";
const EXITED: &str = "coroutine resumed after its thread began to exit";
pub(super) const GENERATOR_RUNNING: &str = "generator already executing";

/// Why [`Generator::send`](super::Generator::send) delivered nothing. The value comes back in it.
#[non_exhaustive]
pub enum SendError<In> {
    /// Nothing waits for a value before the first `next`; the generator is still usable.
    NotStarted(In),
    /// The generator has ended before.
    Finished(In),
    /// The generator is running now.
    AlreadyRunning(In),
    /// The thread is running its thread-local destructors.
    ThreadExited(In),
    /// The body took the value and then gave in to an earlier `close`, so it has no result.
    Closed,
}

impl<In> SendError<In> {
    /// The value that was not delivered.
    pub fn into_inner(self) -> Option<In> {
        match self {
            SendError::NotStarted(value)
            | SendError::Finished(value)
            | SendError::AlreadyRunning(value)
            | SendError::ThreadExited(value) => Some(value),
            SendError::Closed => None,
        }
    }
}

impl<In> fmt::Debug for SendError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::NotStarted(_) => "NotStarted(..)",
            SendError::Finished(_) => "Finished(..)",
            SendError::AlreadyRunning(_) => "AlreadyRunning(..)",
            SendError::ThreadExited(_) => "ThreadExited(..)",
            SendError::Closed => "Closed",
        })
    }
}

impl<In> fmt::Display for SendError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::NotStarted(_) => "cannot send a value to a just-started generator",
            SendError::Finished(_) => "generator already finished",
            SendError::AlreadyRunning(_) => GENERATOR_RUNNING,
            SendError::ThreadExited(_) => "generator resumed after its thread began to exit",
            SendError::Closed => "generator closed while it took the value",
        })
    }
}

impl<In> Error for SendError<In> {}

/// What became of an error that was thrown into a generator and not handled there.
#[non_exhaustive]
pub enum ThrowError<E> {
    /// The body let it through (or had not started, or had ended): here it is again.
    Unhandled(E),
    /// The generator is running now; nothing was thrown.
    AlreadyRunning(E),
    /// The generator waits inside a destructor that runs because of an unwind: a second unwind from
    /// there would abort the process, so nothing was thrown.
    Unwinding(E),
    /// The thread is running its thread-local destructors; nothing was thrown.
    ThreadExited(E),
    /// The body handled it and then gave in to an earlier `close`, so it has no result.
    Closed,
}

impl<E> ThrowError<E> {
    /// The error that was thrown.
    pub fn into_inner(self) -> Option<E> {
        match self {
            ThrowError::Unhandled(error)
            | ThrowError::AlreadyRunning(error)
            | ThrowError::Unwinding(error)
            | ThrowError::ThreadExited(error) => Some(error),
            ThrowError::Closed => None,
        }
    }
}

impl<E> fmt::Debug for ThrowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThrowError::Unhandled(_) => "Unhandled(..)",
            ThrowError::AlreadyRunning(_) => "AlreadyRunning(..)",
            ThrowError::Unwinding(_) => "Unwinding(..)",
            ThrowError::ThreadExited(_) => "ThreadExited(..)",
            ThrowError::Closed => "Closed",
        })
    }
}

impl<E> fmt::Display for ThrowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThrowError::Unhandled(_) => "generator did not handle the error",
            ThrowError::AlreadyRunning(_) => GENERATOR_RUNNING,
            ThrowError::Unwinding(_) => "generator waits inside a destructor that unwinds",
            ThrowError::ThreadExited(_) => "generator resumed after its thread began to exit",
            ThrowError::Closed => "generator closed while it handled the error",
        })
    }
}

impl<E> Error for ThrowError<E> {}

/// Why [`Generator::close`](super::Generator::close) did not end the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseError {
    /// The body yielded instead of ending. It is suspended at that yield and can be resumed.
    IgnoredExit,
    /// The generator is running now.
    AlreadyRunning,
    /// The thread is running its thread-local destructors.
    ThreadExited,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseError::IgnoredExit => "generator ignored exit",
            CloseError::AlreadyRunning => GENERATOR_RUNNING,
            CloseError::ThreadExited => "generator closed after its thread began to exit",
        })
    }
}

impl Error for CloseError {}

/// Why a greenlet was not switched to, or what was thrown into the caller while it cannot unwind.
#[non_exhaustive]
pub enum SwitchError {
    /// The greenlet belongs to another family: to another task, to an ended one, or to the thread
    /// outside tasks. What was to be delivered comes back.
    ForeignFamily(Box<dyn Any>),
    /// The caller is a destructor that runs while some other greenlet is being dropped: there is no
    /// greenlet here that could be left. What was to be delivered comes back.
    NotCurrent(Box<dyn Any>),
    /// The caller stands inside of a scope that it entered in this greenlet and that must be left before
    /// the greenlet is.
    InScope {
        /// Which one: `scope`, `timeout`, `shield` or `no_park`.
        scope: &'static str,
        /// What was to be delivered.
        value: Box<dyn Any>,
    },
    /// Something was thrown to the caller, or a child of it failed, while this thread unwinds: raised
    /// from here it would abort the process.
    Thrown(Box<dyn Any + Send>),
    /// The target waits inside a destructor that runs because of an unwind; nothing was thrown.
    Unwinding(Box<dyn Any + Send>),
    /// The thread is running its thread-local destructors. What was to be delivered comes back.
    ThreadExited(Box<dyn Any>),
}

impl fmt::Debug for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SwitchError::ForeignFamily(_) => "ForeignFamily(..)",
            SwitchError::NotCurrent(_) => "NotCurrent(..)",
            SwitchError::InScope { scope, .. } => {
                return f
                    .debug_struct("InScope")
                    .field("scope", scope)
                    .finish_non_exhaustive();
            }
            SwitchError::Thrown(_) => "Thrown(..)",
            SwitchError::Unwinding(_) => "Unwinding(..)",
            SwitchError::ThreadExited(_) => "ThreadExited(..)",
        })
    }
}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SwitchError::ForeignFamily(_) => "greenlet belongs to another task or thread",
            SwitchError::NotCurrent(_) => "switch from inside the drop of another greenlet",
            SwitchError::InScope { scope, .. } => {
                return write!(f, "switch to another greenlet inside of {scope}");
            }
            SwitchError::Thrown(_) => "an error was thrown to a greenlet that unwinds",
            SwitchError::Unwinding(_) => "greenlet waits inside a destructor that unwinds",
            SwitchError::ThreadExited(_) => "greenlet used after its thread began to exit",
        })
    }
}

impl Error for SwitchError {}

/// Why a greenlet did not get the parent it was to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParentError {
    /// The new parent is the greenlet itself or one of its descendants.
    Cycle,
    /// The new parent has ended.
    Dead,
    /// The new parent belongs to another task or to another part of the thread.
    ForeignFamily,
    /// The root of a family has no parent.
    Root,
}

impl fmt::Display for ParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParentError::Cycle => "cyclic parent chain",
            ParentError::Dead => "the new parent has ended",
            ParentError::ForeignFamily => "the new parent belongs to another task or thread",
            ParentError::Root => "the root of a family has no parent",
        })
    }
}

impl Error for ParentError {}
