//! One value, once, from one to another.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait};
use crate::sync::latch::{Latch, Latched};
use crate::task::select::Receive;

use super::crowd::{self, Crowd, END, Passed, Place};
use super::error::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use super::look_arm::{LookArm, Looked};

/// Makes a channel for one value: the answer to a question, the end of something.
///
/// # Examples
///
/// ```
/// use greenloom::channel;
///
/// # greenloom::run(|| {
/// let (answer, receiver) = channel::oneshot();
/// greenloom::spawn(move || answer.send(6 * 7));
/// assert_eq!(receiver.recv(), Ok(42));
/// # });
/// ```
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        state: Latch::new(State {
            value: None,
            is_over: false,
            is_closed: false,
            takers: Crowd::new(),
            polled: None,
            leavers: Crowd::new(),
        }),
    });
    let sender = Sender {
        channel: channel.clone(),
    };
    (sender, Receiver { channel })
}

/// The end that the value goes in at: [`send`](Sender::send) uses it up.
///
/// Dropped without a value, it tells the receiver that there will be none.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// The end that the value comes out at. Also a [`Future`], for any executor.
///
/// The value is taken once: whoever asks again, or shares the receiver with one who has it, is told that
/// nothing will ever come.
///
/// # Cancellation
///
/// As a future: dropped before it was ready, it drops the value too, for nobody else can take it. Poll
/// it by `&mut` to keep it.
///
/// # Examples
///
/// ```
/// # fn main() {
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
/// use greenloom::channel;
///
/// let (sender, receiver) = channel::oneshot();
/// let mut answer = pin!(async { receiver.await });
/// let mut context = Context::from_waker(Waker::noop());
/// assert!(answer.as_mut().poll(&mut context).is_pending());
/// sender.send("done").unwrap();
/// assert_eq!(answer.poll(&mut context), Poll::Ready(Ok("done")));
/// # }
/// # use std::future::Future;
/// ```
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

struct Channel<T> {
    state: Latch<State<T>>,
}

/// Inside the latch. Whoever waits in `takers` waits for `is_over` or `is_closed`, whoever in `leavers` for
/// `is_closed`; neither is ever taken back. So a called waiter owns nothing, and can lose nothing: what it was
/// called for is still there.
struct State<T> {
    /// Sent, and not taken.
    value: Option<T>,
    /// The sender has sent, or is gone.
    is_over: bool,
    /// The receiver is gone, or wants nothing any more.
    is_closed: bool,
    takers: Crowd,
    /// Whoever polled the receiver last. Replaced, cloned and dropped outside of the latch: it may be anybody's.
    polled: Option<Waker>,
    leavers: Crowd,
}

/// A channel as those see it who wait for its value.
struct Takers<'a, T>(&'a Channel<T>);

/// A channel as those see it who wait for its receiver's going.
struct Leavers<'a, T>(&'a Channel<T>);

// As std's channels: no user code runs while the insides are in between two states.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Sends the value. Never parks.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back when the receiver is gone or has closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::oneshot();
    /// drop(receiver);
    /// assert_eq!(sender.send(7).unwrap_err().into_inner(), 7);
    /// ```
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.channel.state.lock();
        if state.is_closed {
            return Err(SendError(value));
        }
        state.value = Some(value);
        self.channel
            .wake_takers(state, |state| state.is_over = true);
        Ok(())
    }

    /// Whether a send would fail: the receiver is gone or has closed.
    pub fn is_closed(&self) -> bool {
        self.channel.state.lock().is_closed
    }

    /// Waits until the receiver is gone or has closed: nobody wants the value any more, so whoever is
    /// working on it may stop.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// While the receiver is there (`channel.oneshot_closed`).
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// let (sender, receiver) = greenloom::channel::oneshot::<u64>();
    /// let task = greenloom::spawn(move || sender.closed());
    /// drop(receiver);
    /// task.join().unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn closed(&self) {
        self.closed_until(Deadline::NEVER);
    }

    /// As [`closed`](Self::closed), but false when that has not happened within `timeout`.
    #[track_caller]
    pub fn closed_timeout(&self, timeout: Duration) -> bool {
        self.is_closed() || (!timeout.is_zero() && self.closed_until(park::deadline(timeout)))
    }

    #[track_caller]
    fn closed_until(&self, deadline: Deadline) -> bool {
        let channel = &*self.channel;
        loop {
            let mut state = channel.state.lock();
            if state.is_closed {
                return true;
            }
            let ticket = state.leavers.join(0);
            drop(state);
            let wait = Wait::new("channel.oneshot_closed")
                .on(channel)
                .until(deadline);
            if !crowd::wait_firmly(&Leavers(channel), ticket, &wait) {
                return false;
            }
        }
    }
}

impl<T> Receiver<T> {
    /// Receives the value, waiting for it as long as it takes.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the sender was dropped without sending, the value was taken before, or the
    /// receiver was closed before it was sent.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; a value that was sent meanwhile stays in the channel.
    ///
    /// # Parks
    ///
    /// Until the sender has sent or is gone (`channel.oneshot`).
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        // Without a deadline there is one way to fail.
        self.recv_until(Deadline::NEVER).map_err(|_| RecvError)
    }

    /// Receives the value if it was sent. Never parks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`]: it is not there, or will never be.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.state.lock().take()
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`]. A value that comes at the very deadline is received. After a time-out the
    /// receiver may be asked again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let (sender, receiver) = greenloom::channel::oneshot::<()>();
    /// assert!(receiver.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
    /// sender.send(()).unwrap();
    /// assert!(receiver.recv_timeout(Duration::ZERO).is_ok());
    /// ```
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if timeout.is_zero() => Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => self.recv_until(park::deadline(timeout)),
        }
    }

    #[track_caller]
    fn recv_until(&self, deadline: Deadline) -> Result<T, RecvTimeoutError> {
        let channel = &*self.channel;
        loop {
            let mut state = channel.state.lock();
            match state.take() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let ticket = state.takers.join(0);
            drop(state);
            let wait = Wait::new("channel.oneshot").on(channel).until(deadline);
            match crowd::wait(&Takers(channel), ticket, &wait) {
                Passed::Called => {}
                Passed::Late => return Err(RecvTimeoutError::Timeout),
                Passed::GivenUp => return Err(RecvTimeoutError::Disconnected),
            }
        }
    }

    /// Wants nothing any more: a send fails from now on. A value that was sent before can still be received.
    ///
    /// False when it was closed before. Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::oneshot();
    /// assert!(receiver.close());
    /// assert!(sender.send(1).is_err());
    /// assert!(receiver.recv().is_err());
    /// ```
    pub fn close(&self) -> bool {
        let mut state = self.channel.state.lock();
        let was_closed = mem::replace(&mut state.is_closed, true);
        self.channel.wake_leavers(state);
        let state = self.channel.state.lock();
        self.channel.wake_takers(state, |_| ());
        !was_closed
    }

    /// Whether it was [closed](Self::close).
    pub fn is_closed(&self) -> bool {
        self.channel.state.lock().is_closed
    }

    /// Whether no value is there; one may come.
    pub fn is_empty(&self) -> bool {
        self.channel.state.lock().value.is_none()
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Outside of the latch: it may be anybody's code.
        let waker = context.waker().clone();
        let mut state = self.channel.state.lock();
        match state.take() {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(TryRecvError::Disconnected) => Poll::Ready(Err(RecvError)),
            Err(TryRecvError::Empty) => {
                let before = state.polled.replace(waker);
                drop(state);
                drop(before);
                Poll::Pending
            }
        }
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Result<T, TryRecvError> {
        match self.value.take() {
            Some(value) => Ok(value),
            None if self.is_over || self.is_closed => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Channel<T> {
    /// Makes a change, leaves the latch, and wakes those who wait for the value.
    fn wake_takers(&self, mut state: Latched<'_, State<T>>, change: impl FnOnce(&mut State<T>)) {
        change(&mut state);
        let polled = state.polled.take();
        let called = state.takers.call(END);
        drop(state);
        called.wake(&Takers(self));
        if let Some(waker) = polled {
            park::wake_foreign(waker);
        }
    }

    /// Leaves the latch, and wakes those who wait for the receiver's going.
    fn wake_leavers(&self, mut state: Latched<'_, State<T>>) {
        let called = state.leavers.call(END);
        drop(state);
        called.wake(&Leavers(self));
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let state = self.channel.state.lock();
        // After a send nobody waits.
        if !state.is_over {
            self.channel
                .wake_takers(state, |state| state.is_over = true);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.channel.state.lock();
        state.is_closed = true;
        let unwanted = (state.value.take(), state.polled.take());
        self.channel.wake_leavers(state);
        drop(unwanted);
    }
}

impl<T> Place for Takers<'_, T> {
    fn enter<R>(&self, act: impl FnOnce(&mut Crowd) -> R) -> R {
        act(&mut self.0.state.lock().takers)
    }
}

impl<T> Place for Leavers<'_, T> {
    fn enter<R>(&self, act: impl FnOnce(&mut Crowd) -> R) -> R {
        act(&mut self.0.state.lock().leavers)
    }
}

impl<T> Looked for Receiver<T> {
    type Outcome = Result<T, RecvError>;
    type Found = Result<T, RecvError>;

    fn find(&self) -> Option<Self::Found> {
        match self.try_recv() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn give(found: Self::Found) -> Self::Outcome {
        found
    }

    fn in_line<R>(&self, act: impl FnOnce(&mut Crowd, u64) -> R) -> R {
        act(&mut self.channel.state.lock().takers, 0)
    }

    fn object(&self) -> &dyn Describe {
        &*self.channel
    }
}

impl<T> Receive for Receiver<T> {
    type Received = Result<T, RecvError>;
    type RecvArm<'a>
        = LookArm<'a, Self, Result<T, RecvError>>
    where
        T: 'a;

    fn recv_arm(&self) -> LookArm<'_, Self, Result<T, RecvError>> {
        LookArm::new(self)
    }
}

impl<T> Describe for Channel<T> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a oneshot channel that nothing was sent on")
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("is_closed", &self.is_closed())
            .finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_empty, is_closed) = (self.is_empty(), self.is_closed());
        f.debug_struct("Receiver")
            .field("is_empty", &is_empty)
            .field("is_closed", &is_closed)
            .finish()
    }
}
