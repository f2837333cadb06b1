//! Every value to every receiver, out of a ring of the last few; the slow are told what they missed.
//!
//! The ring holds the last values that some receiver has not had yet, at most `capacity` of them. Values
//! are numbered as they are sent; a receiver has the number of the one that it gets next. Each slot counts
//! the receivers that stand *at* it, those that have had everything are *abreast*:
//!
//! ```text
//!   oldest                        next
//!     |  [7]    [8]    [9]         |
//!     |  at: 1  at: 0  at: 2   abreast: 4
//! ```
//!
//! 1. A receiver stands at the slot of its number, or at the oldest one when its own is gone.
//! 2. Receiving moves it one on. A front slot where nobody stands any more is let go of, so that a value
//!    lives no longer than somebody wants it; whoever takes it last gets the value itself, not a clone.
//! 3. A send into a full ring drops the oldest slot, and those who stood there stand at the next: their
//!    numbers tell them later how many they have missed.
//!
//! So each operation takes the same short time inside the latch, however many receivers and values there
//! are. Values lie in `Arc`s: what happens inside is a count that goes up, and they are cloned and
//! dropped outside, for that is the user's code.

mod error;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Count, Describe, Wait};
use crate::sync::latch::Latch;

use super::audience::{self, Audience, Hall, Leavers, Line};
use super::crowd::{self, Crowd, END, Passed};
use super::error::SendError;

pub use error::{RecvError, RecvTimeoutError, TryRecvError};

/// Slots that are let go of while the latch is held.
const BATCH: usize = 32;

/// Makes a channel on which every receiver gets every value that is sent after it came.
///
/// The last `capacity` values are kept for the slow ones. A send never waits for them: it writes over the
/// oldest, and who has not had that one is told how many it has missed ([`RecvError::Lagged`]).
///
/// # Panics
///
/// When `capacity` is 0.
///
/// # Examples
///
/// ```
/// use greenloom::channel;
///
/// # greenloom::run(|| {
/// let (sender, receiver) = channel::broadcast(100);
/// let listeners: Vec<_> = (0..3)
///     .map(|_| {
///         let receiver = sender.subscribe();
///         greenloom::spawn(move || receiver.recv().unwrap())
///     })
///     .collect();
/// assert_eq!(sender.send("to all"), Ok(4)); // four receivers will get it
/// for listener in listeners {
///     assert_eq!(listener.join().unwrap(), "to all");
/// }
/// assert_eq!(receiver.recv(), Ok("to all"));
/// # });
/// ```
#[track_caller]
pub fn broadcast<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel without room for a value");
    let channel = Arc::new(Channel {
        capacity,
        state: Latch::new(State {
            slots: VecDeque::new(),
            oldest: 0,
            abreast: 1,
            is_closed: false,
            audience: Audience::new(),
        }),
    });
    let sender = Sender {
        channel: channel.clone(),
    };
    (sender, Receiver::new(channel, 0))
}

/// The end that values go in at. Clones send on the same channel.
///
/// When the last one is dropped, receivers get what is kept for them, and then the end.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// An end that every value comes out at.
///
/// A clone gets what the original would have got from now on; [`subscribe`](Self::subscribe) makes one that
/// gets only what is sent from now on. Tasks that share one receiver share its values: each goes to one of them.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// The number of the value that comes next. Read and written inside the latch only, so without ordering.
    next: AtomicU64,
}

struct Channel<T> {
    capacity: usize,
    state: Latch<State<T>>,
}

struct State<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the front slot, or of the next value when there is none.
    oldest: u64,
    /// Receivers that have had everything.
    abreast: usize,
    is_closed: bool,
    /// It waits for numbers of values.
    audience: Audience,
}

struct Slot<T> {
    value: Arc<T>,
    /// Receivers that get this one next.
    at: usize,
}

// As std's channels: no user code runs while the insides are in between two states.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Sends to every receiver that there is now; returns how many those are.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back when there is no receiver, or the channel was closed. There may
    /// be receivers again later, by [`subscribe`](Self::subscribe).
    ///
    /// # Parks
    ///
    /// Never. A task that sends on and on without ever waiting yields once in a while.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::broadcast(4);
    /// drop(receiver);
    /// assert_eq!(sender.send("anybody?").unwrap_err().into_inner(), "anybody?");
    /// ```
    #[track_caller]
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        // Before anything else: the yield may unwind.
        park::spend_budget();
        let channel = &*self.channel;
        // Allocated outside of the latch.
        let value = Arc::new(value);
        let mut state = channel.state.lock();
        if state.is_closed || state.audience.receivers == 0 {
            drop(state);
            let value = Arc::into_inner(value).expect("nobody else has seen it");
            return Err(SendError(value));
        }
        let overwritten = state.push(value, channel.capacity);
        let receivers = state.audience.receivers;
        let newest = state.next();
        let called = state.audience.line.call(newest);
        drop(state);
        called.wake(&Line(channel));
        drop(overwritten);
        Ok(receivers)
    }

    /// A receiver of what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Channel::subscribe(&self.channel)
    }

    /// Ends the channel, though other senders are there: sends fail from now on; receivers get what is kept
    /// for them, and then the end.
    ///
    /// False when it was closed before. Never parks.
    pub fn close(&self) -> bool {
        let mut state = self.channel.state.lock();
        let was_closed = std::mem::replace(&mut state.is_closed, true);
        let called = state.audience.line.call(END);
        drop(state);
        called.wake(&Line(&*self.channel));
        !was_closed
    }

    /// Waits until no receiver is left.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// While there is a receiver (`channel.broadcast_closed`).
    #[track_caller]
    pub fn closed(&self) {
        self.closed_until(Deadline::NEVER);
    }

    /// As [`closed`](Self::closed), but false when receivers are left after `timeout`.
    #[track_caller]
    pub fn closed_timeout(&self, timeout: Duration) -> bool {
        self.receiver_count() == 0
            || (!timeout.is_zero() && self.closed_until(park::deadline(timeout)))
    }

    #[track_caller]
    fn closed_until(&self, deadline: Deadline) -> bool {
        let channel = &*self.channel;
        let wait = Wait::new("channel.broadcast_closed").on(channel);
        audience::wait_deserted(channel, &wait.until(deadline))
    }

    /// How many values are kept: those that some receiver has not had yet.
    pub fn len(&self) -> usize {
        self.channel.state.lock().slots.len()
    }

    /// Whether every receiver has had everything that is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Receiver<T> {
    fn new(channel: Arc<Channel<T>>, next: u64) -> Self {
        Receiver {
            channel,
            next: AtomicU64::new(next),
        }
    }

    /// A receiver of what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Channel::subscribe(&self.channel)
    }

    /// How many values are kept for it.
    pub fn len(&self) -> usize {
        let state = self.channel.state.lock();
        let next = self.next.load(Ordering::Relaxed).max(state.oldest);
        usize::try_from(state.next() - next).unwrap_or(usize::MAX)
    }

    /// Whether nothing is kept for it; more may come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves one on: the value, which is still to be cloned, or why there is none.
    fn take(&self, state: &mut State<T>) -> Result<Arc<T>, TryRecvError> {
        let next = self.next.load(Ordering::Relaxed);
        if next < state.oldest {
            self.next.store(state.oldest, Ordering::Relaxed);
            return Err(TryRecvError::Lagged(state.oldest - next));
        }
        if next == state.next() {
            return Err(match state.is_closed || state.audience.senders == 0 {
                true => TryRecvError::Disconnected,
                false => TryRecvError::Empty,
            });
        }
        self.next.store(next + 1, Ordering::Relaxed);
        Ok(state.step(next))
    }

    /// The crowd that it waits in, and the number that it waits to be passed; inside the latch.
    pub(super) fn in_line<R>(&self, act: impl FnOnce(&mut Crowd, u64) -> R) -> R {
        let mut state = self.channel.state.lock();
        let newest = state.next();
        act(&mut state.audience.line, newest)
    }

    /// As `try_recv`, without the clone.
    pub(super) fn find(&self) -> Result<Arc<T>, TryRecvError> {
        self.take(&mut self.channel.state.lock())
    }

    pub(super) fn object(&self) -> &dyn Describe {
        &*self.channel
    }

    #[track_caller]
    fn take_until(&self, deadline: Deadline) -> Result<Arc<T>, RecvTimeoutError> {
        let channel = &*self.channel;
        loop {
            let mut state = channel.state.lock();
            match self.take(&mut state) {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Lagged(missed)) => return Err(RecvTimeoutError::Lagged(missed)),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let newest = state.next();
            let ticket = state.audience.line.join(newest);
            drop(state);
            let wait = Wait::new("channel.broadcast").on(channel).until(deadline);
            match crowd::wait(&Line(channel), ticket, &wait) {
                // To be looked for again: another task may share this receiver.
                Passed::Called => {}
                Passed::Late => return Err(RecvTimeoutError::Timeout),
                Passed::GivenUp => return Err(RecvTimeoutError::Disconnected),
            }
        }
    }
}

/// Outside of the latch: clones, unless nobody else wants the value.
pub(super) fn own<T: Clone>(value: Arc<T>) -> T {
    Arc::unwrap_or_clone(value)
}

impl<T: Clone> Receiver<T> {
    /// Receives the next value, waiting for it as long as it takes.
    ///
    /// The value is cloned, by the task that receives; the last receiver of a value gets it as it is.
    /// Should the clone panic, or wait and be cancelled there, the value counts as received.
    ///
    /// # Errors
    ///
    /// [`RecvError`]: it has missed values, or nothing will ever come.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; what was sent meanwhile is received next time.
    ///
    /// # Parks
    ///
    /// While it has had everything (`channel.broadcast`). A task that receives on and on without ever
    /// waiting yields once in a while.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::channel::{self, broadcast::RecvError};
    ///
    /// let (sender, receiver) = channel::broadcast(2);
    /// for n in 1..=5 {
    ///     sender.send(n).unwrap();
    /// }
    /// drop(sender);
    /// assert_eq!(receiver.recv(), Err(RecvError::Lagged(3)));
    /// assert_eq!(receiver.recv(), Ok(4));
    /// assert_eq!(receiver.recv(), Ok(5));
    /// assert_eq!(receiver.recv(), Err(RecvError::Disconnected));
    /// ```
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        // Before anything else: the yield may unwind.
        park::spend_budget();
        match self.take_until(Deadline::NEVER) {
            Ok(value) => Ok(own(value)),
            Err(RecvTimeoutError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(_) => Err(RecvError::Disconnected),
        }
    }

    /// Receives the next value if it is there. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.find().map(own)
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`]. A value that comes at the very deadline is received.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Lagged(missed)) => Err(RecvTimeoutError::Lagged(missed)),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if timeout.is_zero() => Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => self.take_until(park::deadline(timeout)).map(own),
        }
    }
}

impl<T> Channel<T> {
    fn subscribe(self: &Arc<Self>) -> Receiver<T> {
        let mut state = self.state.lock();
        state.audience.receivers += 1;
        state.abreast += 1;
        let next = state.next();
        drop(state);
        Receiver::new(self.clone(), next)
    }
}

impl<T> State<T> {
    /// The number that the next value will have.
    #[inline]
    fn next(&self) -> u64 {
        self.oldest + self.slots.len() as u64
    }

    /// How many stand where the value of this number is, or is to come.
    fn stand(&mut self, number: u64) -> &mut usize {
        let index = number.saturating_sub(self.oldest);
        let slot = usize::try_from(index).ok();
        match slot.and_then(|index| self.slots.get_mut(index)) {
            Some(slot) => &mut slot.at,
            None => &mut self.abreast,
        }
    }

    /// Puts a value in; returns the one that it took the place of.
    #[inline]
    fn push(&mut self, value: Arc<T>, capacity: usize) -> Option<Arc<T>> {
        let mut overwritten = None;
        if self.slots.len() == capacity {
            overwritten = self.drop_front();
        }
        let at = std::mem::take(&mut self.abreast);
        self.slots.push_back(Slot { value, at });
        overwritten
    }

    /// Drops the front slot; those who stand there stand at the next.
    fn drop_front(&mut self) -> Option<Arc<T>> {
        let Slot { value, at } = self.slots.pop_front()?;
        self.oldest += 1;
        *self.stand(self.oldest) += at;
        Some(value)
    }

    /// Lets go of front slots where nobody stands, or of a batch of them.
    fn trim(&mut self) -> Vec<Arc<T>> {
        let mut unwanted = Vec::new();
        while unwanted.len() < BATCH && self.slots.front().is_some_and(|slot| slot.at == 0) {
            unwanted.extend(self.drop_front());
        }
        unwanted
    }

    /// One who stands at this number, which is there, goes one on.
    #[inline]
    fn step(&mut self, number: u64) -> Arc<T> {
        *self.stand(number) -= 1;
        *self.stand(number + 1) += 1;
        if number == self.oldest && self.slots[0].at == 0 {
            // Here goes one at most: the next has at least this one standing at it.
            return self.drop_front().expect("the front was just looked at");
        }
        let index = usize::try_from(number - self.oldest).expect("an index of the ring");
        self.slots[index].value.clone()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.channel.state.lock();
        let next = *self.next.get_mut();
        *state.stand(next) -= 1;
        let called = state.audience.desert();
        let mut unwanted = state.trim();
        drop(state);
        if let Some(called) = called {
            called.wake(&Leavers(&*self.channel));
        }
        while !unwanted.is_empty() {
            // Outside of the latch, and before it is entered again.
            drop(unwanted);
            let mut state = self.channel.state.lock();
            unwanted = state.trim();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let mut state = self.channel.state.lock();
        let next = self.next.load(Ordering::Relaxed);
        *state.stand(next) += 1;
        state.audience.receivers += 1;
        drop(state);
        Receiver::new(self.channel.clone(), next)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.state.lock().audience.senders += 1;
        Sender {
            channel: self.channel.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        audience::retire(&*self.channel);
    }
}

/// What both ends can be asked.
macro_rules! end {
    ($End:ident) => {
        impl<T> $End<T> {
            /// How many receivers there are.
            pub fn receiver_count(&self) -> usize {
                self.channel.state.lock().audience.receivers
            }

            /// How many of the last values are kept for the slow.
            pub fn capacity(&self) -> usize {
                self.channel.capacity
            }

            /// Whether nothing more will be sent: it was closed, or every sender is gone.
            pub fn is_closed(&self) -> bool {
                let state = self.channel.state.lock();
                state.is_closed || state.audience.senders == 0
            }

            /// Whether both are ends of the same channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.channel, &other.channel)
            }
        }

        impl<T> fmt::Debug for $End<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($End))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("receivers", &self.receiver_count())
                    .field("is_closed", &self.is_closed())
                    .finish()
            }
        }
    };
}

end!(Sender);
end!(Receiver);

impl<T> Hall for Channel<T> {
    fn with<R>(&self, act: impl FnOnce(&mut Audience) -> R) -> R {
        act(&mut self.state.lock().audience)
    }
}

impl<T> Describe for Channel<T> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written outside of the latch: the formatter may be anybody's.
        let (senders, receivers) = {
            let state = self.state.lock();
            (state.audience.senders, state.audience.receivers)
        };
        let receivers = Count(receivers, "receiver");
        let senders = Count(senders, "sender");
        write!(f, "a broadcast channel with {senders} and {receivers}")
    }
}
