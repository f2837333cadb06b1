//! The latest value of something, for many to look at and to be told of when it changes.
//!
//! The value lies in an `Arc` that is replaced as a whole. Who looks gets the `Arc`: a snapshot that stays as
//! it is, blocks nobody, and may be held for as long as one likes. So no lock is held over the user's
//! code; a change in place is made to a copy, seen by everybody when it is done, and by nobody if it panics.
//!
//! Changes are numbered. A receiver has the number of the last one that it has seen.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Count, Describe, Wait};
use crate::sync::latch::Latch;
use crate::sync::{Mutex, MutexGuard};
use crate::task::select::Waitable;

use super::audience::{self, Audience, Hall, Leavers, Line};
use super::crowd::{self, Crowd, Passed};
use super::error::{RecvError, RecvTimeoutError, SendError};
use super::look_arm::{LookArm, Looked};

/// Makes a channel that keeps the latest value only, to begin with `value`.
///
/// # Examples
///
/// ```
/// use greenloom::channel;
///
/// # greenloom::run(|| {
/// let (sender, receiver) = channel::watch("starting");
/// let task = greenloom::spawn(move || {
///     receiver.wait_for(|state| *state == "ready").unwrap();
///     "off we go"
/// });
/// sender.send("nearly there").unwrap();
/// sender.send("ready").unwrap();
/// assert_eq!(task.join().unwrap(), "off we go");
/// # });
/// ```
pub fn watch<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        writers: Mutex::new(()),
        state: Latch::new(State {
            value: Arc::new(value),
            version: 0,
            audience: Audience::new(),
        }),
    });
    let sender = Sender {
        channel: channel.clone(),
    };
    (sender, Receiver::new(channel, 0))
}

/// The end that changes the value. Clones change the same one.
///
/// When the last one is dropped, receivers are told of a change that they have not seen, and then of the end.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// The end that sees the value, and has seen some of its changes.
///
/// A clone has seen what the original has. Tasks that share one receiver share what it has seen: of a
/// change, one of them is told.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// The last change seen. Read and written inside the latch only, so without ordering.
    seen: AtomicU64,
}

struct Channel<T> {
    /// Held by whoever makes a new value of the old one, so that no change in between is lost.
    writers: Mutex<()>,
    state: Latch<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    /// How often it has changed.
    version: u64,
    /// It waits for changes after the last one that it has seen: the latest, then.
    audience: Audience,
}

// As std's channels: no user code runs while the insides are in between two states.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Puts a new value in the place of the old one.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the value back when there is no receiver; nothing has changed then. See
    /// [`send_replace`](Self::send_replace) for those to come.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the value is dropped then.
    ///
    /// # Parks
    ///
    /// Only while another sender is in the midst of [`send_modify`](Self::send_modify) or
    /// [`send_if_modified`](Self::send_if_modified).
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let value = Arc::new(value);
        match self.channel.put(self.write(), value, false) {
            Ok(_) => Ok(()),
            Err(value) => {
                let value = Arc::into_inner(value).expect("nobody else has seen it");
                Err(SendError(value))
            }
        }
    }

    /// As [`send`](Self::send), whether there are receivers or not; returns the old value.
    #[track_caller]
    pub fn send_replace(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.channel.replace(self.write(), value)
    }

    /// Changes the value by `modify`, which works on a clone of it: receivers see the old value until
    /// `modify` has returned, and go on seeing it if `modify` panics or is cancelled.
    ///
    /// Other senders wait meanwhile, so one that sends on this very channel inside of `modify` waits for itself.
    ///
    /// # Parks
    ///
    /// As [`send`](Self::send), and as `modify` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::watch(vec![1]);
    /// let before = receiver.borrow();
    /// sender.send_modify(|list| list.push(2));
    /// assert_eq!((&*before, &*receiver.borrow()), (&vec![1], &vec![1, 2]));
    /// ```
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// As [`send_modify`](Self::send_modify), but when `modify` returns false nothing has changed, whatever
    /// it did. Returns what `modify` did.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::watch(5);
    /// let raise = |to| move |value: &mut i32| std::mem::replace(value, to) < to;
    /// assert!(!sender.send_if_modified(raise(3)));
    /// assert_eq!((*receiver.borrow(), receiver.has_changed()), (5, Ok(false)));
    /// assert!(sender.send_if_modified(raise(8)));
    /// assert_eq!((*receiver.borrow(), receiver.has_changed()), (8, Ok(true)));
    /// ```
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        T: Clone,
    {
        let writing = self.write();
        let mut value = T::clone(&self.borrow());
        if modify(&mut value) {
            self.channel.replace(writing, Arc::new(value));
            return true;
        }
        // Before the value is dropped: that is the user's code.
        drop(writing);
        false
    }

    /// A receiver that has seen the value as it is now.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.channel.state.lock();
        state.audience.receivers += 1;
        let seen = state.version;
        drop(state);
        Receiver::new(self.channel.clone(), seen)
    }

    /// Whether there is no receiver.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until no receiver is left.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// While there is a receiver (`channel.watch_closed`).
    #[track_caller]
    pub fn closed(&self) {
        self.closed_until(Deadline::NEVER);
    }

    /// As [`closed`](Self::closed), but false when receivers are left after `timeout`.
    #[track_caller]
    pub fn closed_timeout(&self, timeout: Duration) -> bool {
        self.is_closed() || (!timeout.is_zero() && self.closed_until(park::deadline(timeout)))
    }

    #[track_caller]
    fn closed_until(&self, deadline: Deadline) -> bool {
        let channel = &*self.channel;
        let wait = Wait::new("channel.watch_closed").on(channel);
        audience::wait_deserted(channel, &wait.until(deadline))
    }

    #[track_caller]
    fn write(&self) -> MutexGuard<'_, ()> {
        let writing = self.channel.writers.lock();
        // A `modify` that panicked has changed nothing.
        writing.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Receiver<T> {
    fn new(channel: Arc<Channel<T>>, seen: u64) -> Self {
        Receiver {
            channel,
            seen: AtomicU64::new(seen),
        }
    }

    /// Whether the value has changed since this receiver has last seen it.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when it has not, and never will: every sender is gone.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let state = self.channel.state.lock();
        let has_changed = self.seen.load(Ordering::Relaxed) != state.version;
        match has_changed || state.audience.senders > 0 {
            true => Ok(has_changed),
            false => Err(RecvError),
        }
    }

    /// The value as it is now, a snapshot; from now on it is seen.
    ///
    /// To look at every change (though not at every value: only the latest is kept) call this after each
    /// [`changed`](Self::changed).
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenloom::channel::watch(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(*receiver.borrow_and_update(), 2);
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// ```
    pub fn borrow_and_update(&self) -> Arc<T> {
        self.look().0
    }

    /// The value, now seen, and its number.
    fn look(&self) -> (Arc<T>, u64) {
        let state = self.channel.state.lock();
        self.seen.store(state.version, Ordering::Relaxed);
        (state.value.clone(), state.version)
    }

    /// Waits for a change that this receiver has not seen, which from then on it has.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when there is none, and every sender is gone.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the change is still to be seen.
    ///
    /// # Parks
    ///
    /// While nothing has changed (`channel.watch`). A task that never has to wait yields once in a while.
    #[track_caller]
    pub fn changed(&self) -> Result<(), RecvError> {
        park::spend_budget();
        self.changed_until(Deadline::NEVER).map_err(|_| RecvError)
    }

    /// As [`changed`](Self::changed), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`].
    #[track_caller]
    pub fn changed_timeout(&self, timeout: Duration) -> Result<(), RecvTimeoutError> {
        self.changed_until(deadline(timeout))
    }

    /// Waits until `is_right` says so of the value, which is returned; asked first of the value as it is
    /// now, then of every change that is seen.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when it was not so of the last one, and every sender is gone.
    ///
    /// # Parks
    ///
    /// As [`changed`](Self::changed).
    #[track_caller]
    pub fn wait_for(&self, is_right: impl FnMut(&T) -> bool) -> Result<Arc<T>, RecvError> {
        park::spend_budget();
        let found = self.wait_until(is_right, Deadline::NEVER);
        found.map_err(|_| RecvError)
    }

    /// As [`wait_for`](Self::wait_for), but waits no longer than `timeout`. With a `timeout` of zero it asks once.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`].
    #[track_caller]
    pub fn wait_for_timeout(
        &self,
        is_right: impl FnMut(&T) -> bool,
        timeout: Duration,
    ) -> Result<Arc<T>, RecvTimeoutError> {
        self.wait_until(is_right, deadline(timeout))
    }

    #[track_caller]
    fn wait_until(
        &self,
        mut is_right: impl FnMut(&T) -> bool,
        deadline: Deadline,
    ) -> Result<Arc<T>, RecvTimeoutError> {
        loop {
            // A number of its own: another task that shares this receiver may see the next change first.
            let (value, seen) = self.look();
            if is_right(&value) {
                return Ok(value);
            }
            drop(value);
            self.channel.wait_past(seen, deadline)?;
        }
    }

    #[track_caller]
    fn changed_until(&self, deadline: Deadline) -> Result<(), RecvTimeoutError> {
        loop {
            let latest = {
                let state = self.channel.state.lock();
                if self.seen.swap(state.version, Ordering::Relaxed) != state.version {
                    return Ok(());
                }
                state.version
            };
            self.channel.wait_past(latest, deadline)?;
        }
    }
}

/// For a `timeout` of zero, one that asks once.
fn deadline(timeout: Duration) -> Deadline {
    match timeout.is_zero() {
        true => Deadline::PASSED,
        false => park::deadline(timeout),
    }
}

impl<T> Channel<T> {
    /// Waits for a change after the one of this number.
    #[track_caller]
    fn wait_past(&self, seen: u64, deadline: Deadline) -> Result<(), RecvTimeoutError> {
        let mut state = self.state.lock();
        if state.version != seen {
            return Ok(());
        }
        if state.audience.senders == 0 {
            return Err(RecvTimeoutError::Disconnected);
        }
        if deadline == Deadline::PASSED {
            return Err(RecvTimeoutError::Timeout);
        }
        let ticket = state.audience.line.join(seen);
        drop(state);
        let wait = Wait::new("channel.watch").on(self).until(deadline);
        match crowd::wait(&Line(self), ticket, &wait) {
            // Of a change, or of the end: to be looked for.
            Passed::Called => Ok(()),
            Passed::Late => Err(RecvTimeoutError::Timeout),
            Passed::GivenUp => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// Puts a value in, if there are receivers or that does not matter; returns the old one.
    fn put(
        &self,
        writing: MutexGuard<'_, ()>,
        value: Arc<T>,
        even_for_nobody: bool,
    ) -> Result<Arc<T>, Arc<T>> {
        let mut state = self.state.lock();
        if state.audience.receivers == 0 && !even_for_nobody {
            return Err(value);
        }
        let old = std::mem::replace(&mut state.value, value);
        state.version += 1;
        let version = state.version;
        let called = state.audience.line.call(version);
        drop(state);
        drop(writing);
        called.wake(&Line(self));
        Ok(old)
    }

    fn replace(&self, writing: MutexGuard<'_, ()>, value: Arc<T>) -> Arc<T> {
        match self.put(writing, value, true) {
            Ok(old) | Err(old) => old,
        }
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

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let mut state = self.channel.state.lock();
        state.audience.receivers += 1;
        let seen = self.seen.load(Ordering::Relaxed);
        drop(state);
        Receiver::new(self.channel.clone(), seen)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        audience::retire(&*self.channel);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let called = self.channel.with(Audience::desert);
        if let Some(called) = called {
            called.wake(&Leavers(&*self.channel));
        }
    }
}

/// What both ends can be asked.
macro_rules! end {
    ($End:ident) => {
        impl<T> $End<T> {
            /// The value as it is now: a snapshot that may be kept, and keeps nobody waiting.
            pub fn borrow(&self) -> Arc<T> {
                self.channel.state.lock().value.clone()
            }

            /// How many receivers there are.
            pub fn receiver_count(&self) -> usize {
                self.channel.state.lock().audience.receivers
            }

            /// Whether both are ends of the same channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.channel, &other.channel)
            }
        }

        impl<T: fmt::Debug> fmt::Debug for $End<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($End))
                    .field("value", &self.borrow())
                    .field("receivers", &self.receiver_count())
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

impl<T> Looked for Receiver<T> {
    type Outcome = Result<(), RecvError>;
    type Found = Result<(), RecvError>;

    fn find(&self) -> Option<Self::Found> {
        let state = self.channel.state.lock();
        let latest = state.version;
        if self.seen.swap(latest, Ordering::Relaxed) != latest {
            return Some(Ok(()));
        }
        (state.audience.senders == 0).then_some(Err(RecvError))
    }

    fn give(found: Self::Found) -> Self::Outcome {
        found
    }

    fn in_line<R>(&self, act: impl FnOnce(&mut Crowd, u64) -> R) -> R {
        let mut state = self.channel.state.lock();
        let latest = state.version;
        act(&mut state.audience.line, latest)
    }

    fn object(&self) -> &dyn Describe {
        &*self.channel
    }
}

/// As [`Receiver::changed`].
impl<T> Waitable for Receiver<T> {
    type Passed = Result<(), RecvError>;
    type WaitArm<'a>
        = LookArm<'a, Self, Result<(), RecvError>>
    where
        T: 'a;

    fn wait_arm(&self) -> LookArm<'_, Self, Result<(), RecvError>> {
        LookArm::new(self)
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
        write!(f, "a watch channel with {senders} and {receivers}")
    }
}
