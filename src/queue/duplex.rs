//! A two-way pipe of messages between two ends, as Python's `multiprocessing.Pipe` has it.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park;

use super::core::Core;
use super::error::{GetTimeoutError, PutTimeoutError, TryGetError, TryPutError};
use super::error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use super::order::Fifo;

type Way<T> = Arc<Core<T, Fifo>>;

/// One end of a [`duplex`] pipe. What is sent here is received at the other end.
///
/// Dropping it hangs up: the other end still receives what was sent, and then an error; what was sent to
/// this end is dropped, and more is refused. Several tasks or threads may use an end at once, by reference
/// or in an [`Arc`].
pub struct End<T> {
    /// What the other end receives.
    out: Way<T>,
    /// What it has sent.
    back: Way<T>,
}

/// Makes a two-way pipe with room for so many messages each way.
///
/// # Panics
///
/// When there is room for none.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # greenloom::run(|| {
/// let (ours, theirs) = greenloom::queue::duplex(8);
/// greenloom::spawn(move || {
///     while let Ok(text) = theirs.recv() {
///         let text: String = text;
///         theirs.send(text.to_uppercase()).unwrap();
///     }
/// });
/// assert!(!ours.poll(Duration::ZERO));
/// ours.send("hello".to_string()).unwrap();
/// ours.send(String::new()).unwrap();
/// assert_eq!(ours.recv().unwrap(), "HELLO");
/// // An empty message is one.
/// assert!(ours.poll(Duration::MAX));
/// assert_eq!(ours.recv().unwrap(), "");
/// # });
/// ```
#[track_caller]
pub fn duplex<T>(capacity: usize) -> (End<T>, End<T>) {
    assert!(capacity > 0, "a pipe without room");
    let (out, back) = (Arc::new(Core::new(capacity)), Arc::new(Core::new(capacity)));
    let other = End {
        out: back.clone(),
        back: out.clone(),
    };
    (End { out, back }, other)
}

impl<T> End<T> {
    /// Sends a message, waiting for room as long as it takes.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the message back when the other end is gone.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits. The message is dropped, unless it has gone in in the same moment.
    ///
    /// # Parks
    ///
    /// While the pipe is full (`queue.put`).
    ///
    /// # Examples
    ///
    /// ```
    /// let (ours, theirs) = greenloom::queue::duplex(1);
    /// drop(theirs);
    /// assert_eq!(ours.send(1).unwrap_err().into_inner(), 1);
    /// ```
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        park::spend_budget();
        let sent = self.out.put(message, Deadline::NEVER);
        sent.map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message if there is room. Never parks.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the message back.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.out.try_put(message).map_err(|error| match error {
            TryPutError::Full(message) => TrySendError::Full(message),
            TryPutError::ShutDown(message) => TrySendError::Disconnected(message),
        })
    }

    /// As [`send`](Self::send), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError`] gives the message back.
    #[track_caller]
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        let message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(message)) => {
                return Err(SendTimeoutError::Disconnected(message));
            }
            Err(TrySendError::Full(message)) => message,
        };
        if timeout.is_zero() {
            return Err(SendTimeoutError::Timeout(message));
        }
        let sent = self.out.put(message, park::deadline(timeout));
        sent.map_err(|error| match error {
            PutTimeoutError::Timeout(message) => SendTimeoutError::Timeout(message),
            PutTimeoutError::ShutDown(message) => SendTimeoutError::Disconnected(message),
        })
    }

    /// Receives a message, waiting for one as long as it takes.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the other end is gone and all that it had sent was received.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; a message that was given to it meanwhile goes to the next receiver.
    ///
    /// # Parks
    ///
    /// While no message is there (`queue.get`).
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        park::spend_budget();
        self.back.get(Deadline::NEVER).map_err(|_| RecvError)
    }

    /// Receives a message if one is there. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`]: nothing is there, or nothing will ever come.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.back.try_get().map_err(|error| match error {
            TryGetError::Empty => TryRecvError::Empty,
            TryGetError::ShutDown => TryRecvError::Disconnected,
        })
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`]. A message that comes at the very deadline is received.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(message) => Ok(message),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if timeout.is_zero() => Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => {
                let received = self.back.get(park::deadline(timeout));
                received.map_err(|error| match error {
                    GetTimeoutError::Timeout => RecvTimeoutError::Timeout,
                    GetTimeoutError::ShutDown => RecvTimeoutError::Disconnected,
                })
            }
        }
    }

    /// Waits until [`recv`](Self::recv) would not have to, because a message is there, were it empty, or the
    /// other end is gone; false when that was not so within `timeout`. With a `timeout` of zero it asks once.
    ///
    /// If several receive at one end, another may be faster all the same.
    ///
    /// # Cancellation
    ///
    /// Unwinds; nothing was taken.
    ///
    /// # Parks
    ///
    /// While no message is there (`queue.poll`).
    #[track_caller]
    pub fn poll(&self, timeout: Duration) -> bool {
        match timeout {
            Duration::ZERO => self.back.is_ready(),
            timeout => self.back.watch(park::deadline(timeout)),
        }
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.out.shut_down(false);
        self.back.shut_down(true);
    }
}

impl<T> fmt::Debug for End<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out, back) = (self.out.look(), self.back.look());
        f.debug_struct("End")
            .field("sent", &out.len)
            .field("to_receive", &back.len)
            .field("capacity", &out.capacity)
            .field("is_disconnected", &back.is_shut)
            .finish()
    }
}

// As for the queues.
impl<T> UnwindSafe for End<T> {}
impl<T> RefUnwindSafe for End<T> {}
