//! A two-way connection between processes that carries values whole, in order.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::io::Limit;
use crate::scheduler::park;

use super::error::{RecvError, SendError};
use super::line::Line;
use super::link::{Incoming, Outgoing, Wire};
use super::parcel::{LONGEST, Parcel, Passed};

/// Makes a connection: what goes in at one end comes out at the other, in both directions.
///
/// Either end can be handed to a child process, in the argument of its function or through another pipe; and
/// both work between the tasks and threads of one process. Python's `multiprocessing.Pipe`.
///
/// # Errors
///
/// When there are too many descriptors.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::{self, Conn};
/// use greenloom::process::Process;
///
/// fn child(parent: Conn<u64, Vec<u64>>) {
///     let numbers = parent.recv().unwrap();
///     parent.send(&numbers.iter().sum()).unwrap();
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, theirs) = ipc::pipe::<Vec<u64>, u64>()?;
/// let process = Process::spawn(child, theirs)?;
/// ours.send(&vec![1, 2, 3])?;
/// assert_eq!(ours.recv()?, 6);
/// process.join()?;
/// # Ok(())
/// # }
/// ```
pub fn pipe<S, R>() -> io::Result<(Conn<S, R>, Conn<R, S>)> {
    let (ours, theirs) = Wire::pair()?;
    let theirs = Wire::new(theirs);
    Ok((
        Conn::new(ours, Incoming::new(LONGEST)),
        Conn::new(theirs, Incoming::new(LONGEST)),
    ))
}

/// One end of a [`pipe`]: sends values of type `S` and receives values of type `R`.
///
/// It is used by shared reference, from any number of tasks and threads; clones are the same end. When the last
/// one is dropped, here and in every process that it was passed to, the other end receives what is on its way,
/// and then [`RecvError::Closed`].
///
/// The system keeps some two hundred kilobytes on their way; a send that finds them full waits.
///
/// # Passing it on
///
/// It may stand in a value that is sent to another process, which then has the end as well. What it had read
/// ahead goes along, and is lost if the value does not arrive. One end that receives in several processes at once
/// gets its values torn between them: pass it on and drop it, or use a [`Queue`](super::Queue).
pub struct Conn<S, R = S> {
    line: Arc<Line>,
    values: PhantomData<fn(S) -> R>,
}

impl<S, R> Conn<S, R> {
    fn new(wire: Wire, incoming: Incoming) -> Self {
        Conn {
            line: Line::new(wire, incoming),
            values: PhantomData,
        }
    }

    /// Sends a value, waiting for room as long as it takes.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the other end is gone, or the value cannot be encoded.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits. A value of which a part has left is sent to its end all the same.
    ///
    /// # Parks
    ///
    /// While there is no room (`ipc.send`), or another one sends (`sync.mutex`).
    #[track_caller]
    pub fn send(&self, value: &S) -> Result<(), SendError>
    where
        S: Serialize,
    {
        self.send_within(value, Limit::Never)
    }

    /// As [`send`](Self::send), but gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and [`SendError::TimedOut`]: then no part of it has left. A value of which a part has left
    /// when the time is over counts as sent: the rest follows by itself.
    #[track_caller]
    pub fn send_timeout(&self, value: &S, timeout: Duration) -> Result<(), SendError>
    where
        S: Serialize,
    {
        self.send_within(value, Limit::At(park::deadline(timeout)))
    }

    #[track_caller]
    fn send_within(&self, value: &S, limit: Limit) -> Result<(), SendError>
    where
        S: Serialize,
    {
        let parcel = Parcel::pack(value).map_err(SendError::Codec)?;
        let outgoing = Outgoing::new(0, 0, parcel)?;
        Ok(self.line.send(outgoing, limit)?)
    }

    /// Receives the next value, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] when the other end is gone and nothing is on its way; `Codec` when what came is
    /// no `R`: it is taken all the same, and the next can be received.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; nothing is lost.
    ///
    /// # Parks
    ///
    /// While there is none (`ipc.recv`), or another one receives (`sync.mutex`).
    #[track_caller]
    pub fn recv(&self) -> Result<R, RecvError>
    where
        R: DeserializeOwned,
    {
        self.recv_within(Limit::Never)
    }

    /// As [`recv`](Self::recv), but gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and [`RecvError::TimedOut`].
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<R, RecvError>
    where
        R: DeserializeOwned,
    {
        self.recv_within(Limit::At(park::deadline(timeout)))
    }

    /// As [`recv`](Self::recv), if a value has come already.
    ///
    /// # Errors
    ///
    /// As there, and [`RecvError::TimedOut`] when none has.
    pub fn try_recv(&self) -> Result<R, RecvError>
    where
        R: DeserializeOwned,
    {
        self.recv_timeout(Duration::ZERO)
    }

    #[track_caller]
    fn recv_within(&self, limit: Limit) -> Result<R, RecvError>
    where
        R: DeserializeOwned,
    {
        let mut incoming = self.line.incoming(limit).ok_or(RecvError::TimedOut)?;
        let frame = incoming.recv(&self.line.wire, limit)?;
        drop(incoming);
        let frame = frame.ok_or(RecvError::Closed)?;
        frame.parcel.unpack().map_err(RecvError::Codec)
    }

    /// Whether something can be received, or the end has come; waits for that at most for `timeout`.
    ///
    /// # Errors
    ///
    /// What the system says of the connection.
    ///
    /// # Parks
    ///
    /// Until then (`ipc.poll`).
    #[track_caller]
    pub fn poll(&self, timeout: Duration) -> io::Result<bool> {
        let limit = Limit::At(park::deadline(timeout));
        let Some(incoming) = self.line.incoming(limit) else {
            return Ok(false);
        };
        if !incoming.is_empty() {
            return Ok(true);
        }
        match self.line.wire.wait_readable(limit) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl<S, R> Clone for Conn<S, R> {
    fn clone(&self) -> Self {
        Conn {
            line: self.line.clone(),
            values: PhantomData,
        }
    }
}

impl<S, R> AsFd for Conn<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.wire.as_fd()
    }
}

impl<S, R> fmt::Debug for Conn<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("fd", &self.line.wire.as_fd())
            .finish_non_exhaustive()
    }
}

impl<S, R> Serialize for Conn<S, R> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        use serde::ser::Error;
        let ahead = self.line.take_ahead().ok_or_else(|| {
            Z::Error::custom("an end of a pipe cannot be passed on while it is used")
        })?;
        (Handed(&self.line.wire), ahead).serialize(serializer)
    }
}

struct Handed<'a>(&'a Wire);

impl Serialize for Handed<'_> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        Passed::serialize(self.0, serializer)
    }
}

impl<'de, S, R> Deserialize<'de> for Conn<S, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (Passed(socket), ahead) = <(Passed, Vec<u8>)>::deserialize(deserializer)?;
        Ok(Conn::new(
            Wire::new(socket),
            Incoming::with_ahead(LONGEST, ahead),
        ))
    }
}
