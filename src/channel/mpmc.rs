//! The ends of a channel: any number of senders and of receivers.

use std::fmt;
use std::iter::FusedIterator;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park;

use super::core::{self, Channel, Side};
use super::error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError};
use super::error::{TryRecvError, TrySendError};

/// Makes a channel with room for `capacity` values: a send waits while it is full.
///
/// A capacity of 0 is a [`rendezvous`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = greenloom::channel::bounded(1);
/// sender.send("hello").unwrap();
/// assert!(sender.try_send("full").unwrap_err().is_full());
/// assert_eq!(receiver.recv(), Ok("hello"));
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // `usize::MAX` means unbounded; nobody will see the difference.
    channel(capacity.min(usize::MAX - 1))
}

/// Makes a channel that takes whatever is sent: a send never waits.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = greenloom::channel::unbounded();
/// (0..1000).for_each(|n| sender.send(n).unwrap());
/// drop(sender);
/// assert_eq!(receiver.iter().count(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

/// Makes a channel without room: a send waits until a receiver waits for the value, or takes it.
///
/// The two have met when the send returns: nobody else gets the value, also if the receiver has yet to be scheduled,
/// as in Go. If that receiver is cancelled meanwhile, its value goes to the next in line, or else to whoever comes next,
/// perhaps after values that were sent later.
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let (sender, receiver) = greenloom::channel::rendezvous();
/// greenloom::spawn(move || sender.send("from hand to hand"));
/// assert_eq!(receiver.recv(), Ok("from hand to hand"));
/// # });
/// ```
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    channel(0)
}

fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(capacity));
    let sender = Sender {
        channel: channel.clone(),
    };
    (sender, Receiver { channel })
}

/// The end of a channel that values go in at.
///
/// Clones send on the same channel. When the last one is dropped, receivers get what is still inside, and
/// then the end.
pub struct Sender<T> {
    pub(super) channel: Arc<Channel<T>>,
}

/// The end of a channel that values come out at.
///
/// Clones receive from the same channel; each value goes to one of them. When the last one is dropped, so is
/// what is still inside, and senders get errors.
pub struct Receiver<T> {
    pub(super) channel: Arc<Channel<T>>,
}

// As std's channels: no user code runs while the insides are in between two states.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Sends, waiting for room as long as it takes.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back when every receiver is gone or the channel was closed, also
    /// while it waited.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits. The value is dropped, unless a receiver has taken it in the same moment.
    ///
    /// # Parks
    ///
    /// While the channel is full (`channel.send`). A task that sends on and on without ever waiting yields
    /// once in a while.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::bounded(1);
    /// drop(receiver);
    /// assert_eq!(sender.send(7).unwrap_err().into_inner(), 7);
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        // Before anything else: the yield may unwind.
        park::spend_budget();
        self.channel
            .send(value, Deadline::NEVER)
            .map_err(core::never_late)
    }

    /// Sends if there is room or a receiver waits. Never parks.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the value back.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = greenloom::channel::rendezvous();
    /// assert!(sender.try_send(1).unwrap_err().is_full());
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.channel.try_send(value)
    }

    /// As [`send`](Self::send), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError`] gives the value back.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let (sender, _receiver) = greenloom::channel::bounded(1);
    /// sender.send(1).unwrap();
    /// let error = sender.send_timeout(2, Duration::from_millis(1)).unwrap_err();
    /// assert!(error.is_timeout());
    /// assert_eq!(error.into_inner(), 2);
    /// ```
    #[track_caller]
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        let value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(value)) => {
                return Err(SendTimeoutError::Disconnected(value));
            }
            Err(TrySendError::Full(value)) => value,
        };
        if timeout.is_zero() {
            return Err(SendTimeoutError::Timeout(value));
        }
        self.channel.send(value, park::deadline(timeout))
    }
}

impl<T> Receiver<T> {
    /// Receives, waiting for a value as long as it takes.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the channel is empty, and every sender is gone or it was closed.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; a value that was given to it meanwhile goes to the next receiver.
    ///
    /// # Parks
    ///
    /// While the channel is empty (`channel.recv`). A task that receives on and on without ever waiting
    /// yields once in a while.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::unbounded();
    /// std::thread::spawn(move || sender.send("from a plain thread"));
    /// assert_eq!(receiver.recv(), Ok("from a plain thread"));
    /// assert!(receiver.recv().is_err());
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        // Before anything else: the yield may unwind.
        park::spend_budget();
        self.channel.recv(Deadline::NEVER).map_err(core::ended)
    }

    /// Receives if a value is there or a sender waits. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`]: nothing is there, or nothing will ever come.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::unbounded::<()>();
    /// assert!(receiver.try_recv().unwrap_err().is_empty());
    /// drop(sender);
    /// assert!(receiver.try_recv().unwrap_err().is_disconnected());
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.try_recv()
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`]. A value that comes at the very deadline is received.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let (sender, receiver) = greenloom::channel::unbounded::<()>();
    /// assert!(receiver.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
    /// # drop(sender);
    /// ```
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if timeout.is_zero() => Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => self.channel.recv(park::deadline(timeout)),
        }
    }

    /// Receives value after value, waiting for each; ends when nothing will ever come.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::unbounded();
    /// sender.send(1).unwrap();
    /// sender.send(2).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there, without waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::unbounded();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

/// What both ends can be asked, and how both end.
macro_rules! end {
    ($End:ident, $side:expr) => {
        impl<T> $End<T> {
            /// How many values are inside: sent, and on their way to no receiver yet.
            pub fn len(&self) -> usize {
                self.channel.look().len
            }

            /// Whether no value is inside; more may come.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether a send would have to wait for a receive. A [`rendezvous`] always is.
            pub fn is_full(&self) -> bool {
                let look = self.channel.look();
                look.len >= look.capacity
            }

            /// How many values there is room for; `None` when [`unbounded`].
            pub fn capacity(&self) -> Option<usize> {
                match self.channel.look().capacity {
                    usize::MAX => None,
                    capacity => Some(capacity),
                }
            }

            /// Whether sends fail: every receiver is gone, or the channel was closed.
            pub fn is_closed(&self) -> bool {
                self.channel.look().is_closed
            }

            /// Ends the channel for both sides, though not everybody is gone: sends fail from now on, those
            /// that wait for room included; receivers get what is inside, and then the end.
            ///
            /// False when it was closed before. Never parks.
            ///
            /// # Examples
            ///
            /// ```
            /// let (sender, receiver) = greenloom::channel::unbounded();
            /// sender.send("last").unwrap();
            /// assert!(receiver.close());
            /// assert!(sender.send("too late").is_err());
            /// assert_eq!(receiver.recv(), Ok("last"));
            /// assert!(receiver.recv().is_err());
            /// ```
            pub fn close(&self) -> bool {
                self.channel.close()
            }

            /// Whether both are ends of the same channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.channel, &other.channel)
            }
        }

        impl<T> Clone for $End<T> {
            fn clone(&self) -> Self {
                self.channel.enter($side);
                $End {
                    channel: self.channel.clone(),
                }
            }
        }

        impl<T> Drop for $End<T> {
            fn drop(&mut self) {
                self.channel.leave($side);
            }
        }

        impl<T> fmt::Debug for $End<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let look = self.channel.look();
                let mut debug = f.debug_struct(stringify!($End));
                debug.field("len", &look.len);
                if look.capacity != usize::MAX {
                    debug.field("capacity", &look.capacity);
                }
                debug.field("is_closed", &look.is_closed).finish()
            }
        }
    };
}

end!(Sender, Side::Sender);
end!(Receiver, Side::Receiver);

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
    #[inline(always)]
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
    #[inline(always)]
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
