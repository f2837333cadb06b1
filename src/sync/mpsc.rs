//! std's channels by std's names, so that a ported program changes nothing but its `use` lines.
//!
//! [`channel()`] and [`sync_channel`] are [`crate::channel::unbounded`] and [`crate::channel::bounded`], which
//! new code had better use: they have several receivers, a `close`, sends with a time-out. The errors are
//! std's own types.
//!
//! What is different: a receiver that waits is a green thread as well as it is an OS thread, and unwinds when
//! it is cancelled, without losing a value; the receiver can be shared by reference.
//!
//! # Examples
//!
//! ```
//! use greenloom::sync::mpsc;
//! use greenloom::thread;
//!
//! let (sender, receiver) = mpsc::channel();
//! for n in 0..3 {
//!     let sender = sender.clone();
//!     thread::spawn(move || sender.send(n).unwrap());
//! }
//! drop(sender);
//! assert_eq!(receiver.iter().sum::<i32>(), 3);
//! ```

use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use crate::channel;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// Makes a channel without limit: [`std::sync::mpsc::channel`].
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::unbounded();
    (Sender { sender }, Receiver { receiver })
}

/// Makes a channel that holds at most `bound` values, or, with 0, hands each from a sender to the receiver:
/// [`std::sync::mpsc::sync_channel`].
///
/// # Examples
///
/// ```
/// use greenloom::sync::mpsc::{TrySendError, sync_channel};
/// let (sender, receiver) = sync_channel(1);
/// sender.send(1).unwrap();
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (sender, receiver) = match bound {
        0 => channel::rendezvous(),
        bound => channel::bounded(bound),
    };
    (SyncSender { sender }, Receiver { receiver })
}

/// The sending end of a [`channel()`].
pub struct Sender<T> {
    sender: channel::Sender<T>,
}

/// The sending end of a [`sync_channel`].
pub struct SyncSender<T> {
    sender: channel::Sender<T>,
}

/// The receiving end of a [`channel()`] or [`sync_channel`].
pub struct Receiver<T> {
    receiver: channel::Receiver<T>,
}

impl<T> Sender<T> {
    /// Sends a value. Does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back when the receiver is gone.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.sender.send(value).map_err(|error| SendError(error.0))
    }
}

impl<T> SyncSender<T> {
    /// Sends a value when there is room, or, without any, when it is received.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back when the receiver is gone.
    ///
    /// # Cancellation
    ///
    /// Unwinds; a value that waited for room is dropped.
    ///
    /// # Parks
    ///
    /// While there is no room (`channel.send`).
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.sender.send(value).map_err(|error| SendError(error.0))
    }

    /// Sends a value if there is room at once, or the receiver waits. Never parks.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the value back.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(value).map_err(|error| match error {
            channel::TrySendError::Full(value) => TrySendError::Full(value),
            channel::TrySendError::Disconnected(value) => TrySendError::Disconnected(value),
        })
    }
}

impl<T> Receiver<T> {
    /// Receives a value, waiting for one.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when every sender is gone and nothing is left.
    ///
    /// # Cancellation
    ///
    /// Unwinds; no value is lost.
    ///
    /// # Parks
    ///
    /// While there is none (`channel.recv`).
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receiver.recv().map_err(|_| RecvError)
    }

    /// Receives a value if there is one. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv().map_err(|error| match error {
            channel::TryRecvError::Empty => TryRecvError::Empty,
            channel::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`].
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let received = self.receiver.recv_timeout(timeout);
        received.map_err(|error| match error {
            channel::RecvTimeoutError::Timeout => RecvTimeoutError::Timeout,
            channel::RecvTimeoutError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Receives value after value, waiting for each, until every sender is gone.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let sender = self.sender.clone();
        Sender { sender }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        let sender = self.sender.clone();
        SyncSender { sender }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// Made by [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Made by [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// A [`Receiver`] as an iterator of its own.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

// Nothing comes after the end.
impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
