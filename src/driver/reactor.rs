//! The poller of one worker: tells sleeping tasks that their descriptors may be ready.
//!
//! A worker owns its [`Reactor`] and turns it; sockets hold the [`ReactorShared`] and register
//! from any thread. A descriptor is registered once, edge-triggered, until it is closed: for both
//! directions, or for reading until somebody waits to write; its token is a place in a slab together with a generation, so that an event that
//! was fetched before a descriptor was closed never wakes the next one in the same place.
//!
//! Locks: `slots` before the lock of a registration; neither is held over a wake.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use std::{error, fmt, io};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use crate::base::clock::{Deadline, real_now};
use crate::driver::registration::{Event, Registration, Standing, wake_and_uncount};
use crate::sys::poll::Alarm;

/// Events taken from the kernel in one turn; what is left comes in the next.
const BATCH: usize = 256;

/// Low bits of a token: the place in the slab. The rest is the generation.
const PLACE_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const PLACE_MASK: usize = (1 << PLACE_BITS) - 1;
/// The last places, never given to a registration.
const UNPARK: Token = Token(PLACE_MASK);
const ALARM: Token = Token(PLACE_MASK - 1);

/// The reactor that this belongs to has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReactorGone;

impl fmt::Display for ReactorGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime that watched this descriptor has stopped")
    }
}

impl error::Error for ReactorGone {}

impl From<ReactorGone> for io::Error {
    fn from(error: ReactorGone) -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, error)
    }
}

/// What one turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub(crate) struct Turn {
    /// Wakers that were woken.
    pub(crate) woken: usize,
    /// An [`Unparker`] was used since the last turn.
    pub(crate) unparked: bool,
    /// The kernel may have more: turn again soon, without waiting.
    pub(crate) more: bool,
}

/// The part that its worker owns.
pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    shared: Arc<ReactorShared>,
    unparker: Unparker,
    /// `None` where the poller's own timeout is precise.
    alarm: Option<Alarm>,
    /// When the alarm will ring, or `NEVER`. Not later than any deadline slept to since it was
    /// set; an alarm that is too early only costs a turn, so it is never set to a later time.
    alarm_at: Deadline,
    /// Gathered while a turn holds locks; empty between turns.
    wakers: Vec<Waker>,
}

impl Reactor {
    /// Takes three to four descriptors.
    ///
    /// # Errors
    /// When the system has none left, or refuses for another reason; the text says what for.
    pub(crate) fn new() -> io::Result<Reactor> {
        Reactor::build().map_err(|error| {
            let hint = match error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error)
            {
                Some(rustix::io::Errno::MFILE) => "; the limit is `ulimit -n`",
                Some(rustix::io::Errno::NFILE) => "; the limit is that of the whole system",
                _ => "",
            };
            let text = format!("cannot open the descriptors of a worker's reactor: {error}{hint}");
            io::Error::new(error.kind(), text)
        })
    }

    fn build() -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let unparker = Unparker(Arc::new(mio::Waker::new(poll.registry(), UNPARK)?));
        let alarm = Alarm::new()?;
        if let Some(alarm) = &alarm {
            let fd = alarm.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&fd), ALARM, Interest::READABLE)?;
        }
        let slots = Slots {
            registry: Some(registry),
            entries: Slab::new(),
            generation: 0,
        };
        let shared = ReactorShared {
            slots: Mutex::new(slots),
            waiting: AtomicUsize::new(0),
        };
        Ok(Reactor {
            poll,
            events: Events::with_capacity(BATCH),
            shared: Arc::new(shared),
            unparker,
            alarm,
            alarm_at: Deadline::NEVER,
            wakers: Vec::new(),
        })
    }

    /// The part that sockets hold.
    #[inline]
    pub(crate) fn shared(&self) -> &Arc<ReactorShared> {
        &self.shared
    }

    /// What ends the sleep of this reactor, from any thread.
    pub(crate) fn unparker(&self) -> Unparker {
        self.unparker.clone()
    }

    /// Sleeps until something happens or the real time `until` has come, and wakes whoever waited
    /// for what happened. [`Deadline::PASSED`] only looks; [`Deadline::NEVER`] sleeps for ever.
    ///
    /// May return early without a reason. An unpark that came before the sleep ends it at once.
    ///
    /// # Errors
    /// When the poller fails, which no known system does in use.
    pub(crate) fn turn(&mut self, until: Deadline) -> io::Result<Turn> {
        let timeout = self.prepare_sleep(until)?;
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => Ok(self.dispatch()),
            // A signal: the caller turns again if it has nothing better to do.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Turn::default()),
            Err(error) => Err(error),
        }
    }

    /// Sees to it that the sleep ends at `until`: by the alarm, or by the timeout it returns.
    fn prepare_sleep(&mut self, until: Deadline) -> io::Result<Option<Duration>> {
        if until == Deadline::PASSED {
            return Ok(Some(Duration::ZERO));
        }
        // No clock is read when the alarm rings early enough anyway: the rule where each of many
        // operations has the same time limit.
        if self.alarm.is_some() && self.alarm_at <= until {
            return Ok(None);
        }
        let left = until.remaining(real_now());
        match (&self.alarm, left) {
            (Some(alarm), Some(left)) if !left.is_zero() => {
                alarm.set(left)?;
                self.alarm_at = until;
                Ok(None)
            }
            _ => Ok(left),
        }
    }

    fn dispatch(&mut self) -> Turn {
        let mut turn = Turn::default();
        let mut seen = 0;
        if !self.events.is_empty() {
            let slots = self.shared.lock();
            for event in &self.events {
                seen += 1;
                match event.token() {
                    UNPARK => turn.unparked = true,
                    ALARM => self.alarm_at = Deadline::NEVER,
                    Token(token) => {
                        if let Some(registration) = slots.find(token) {
                            registration.report(Event::of(event), &mut self.wakers);
                        }
                    }
                }
            }
        }
        turn.more = seen == BATCH;
        turn.woken = self.wakers.len();
        self.shared.wake_all(&mut self.wakers);
        turn
    }
}

impl Drop for Reactor {
    /// Ends all registrations: their waiters are woken and told to register anew elsewhere.
    fn drop(&mut self) {
        let mut slots = self.shared.lock();
        let registry = slots.registry.take();
        let entries = std::mem::take(&mut slots.entries);
        drop(slots);
        // Its descriptor is a second name of the poller, which ends with the last of them.
        drop(registry);
        for (_, registration) in &entries {
            registration.end(Standing::ReactorGone, &mut self.wakers);
        }
        self.shared.wake_all(&mut self.wakers);
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("shared", &self.shared)
            .field("alarm_at", &self.alarm_at)
            .finish_non_exhaustive()
    }
}

/// The part that sockets hold, from any thread; outlives the reactor.
pub(crate) struct ReactorShared {
    slots: Mutex<Slots>,
    /// Wakers stored in registrations. Changed after the deed it counts, so it may be late, but
    /// never so that a waiter is neither counted nor runnable.
    waiting: AtomicUsize,
}

struct Slots {
    /// `None` when the reactor has stopped.
    registry: Option<Registry>,
    /// All registrations that were not deregistered, at the place their token names.
    entries: Slab<Arc<Registration>>,
    /// Of the next registration.
    generation: usize,
}

impl Slots {
    /// The registration of this token, unless it is gone and the place has been given on.
    #[inline]
    fn find(&self, token: usize) -> Option<&Arc<Registration>> {
        self.entries
            .get(token & PLACE_MASK)
            .filter(|entry| entry.token() == token)
    }

    /// A token for the next place, new for a long time to come.
    fn next_token(&mut self) -> io::Result<usize> {
        let place = self.entries.vacant_key();
        if place >= ALARM.0 {
            return Err(io::Error::other("too many descriptors at one reactor"));
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(self.generation << PLACE_BITS | place)
    }
}

impl ReactorShared {
    /// Watches a descriptor, which must be nonblocking, for both directions.
    ///
    /// Whatever it is ready for at this moment is an event: who waits from tick to tick needs no
    /// system call between registering and arming.
    ///
    /// # Errors
    /// [`ReactorGone`] inside; `PermissionDenied` for what cannot be polled, such as regular
    /// files; the limits of the system.
    #[cfg(test)]
    pub(crate) fn register(self: &Arc<Self>, fd: BorrowedFd<'_>) -> io::Result<Arc<Registration>> {
        self.register_for(fd, true)
    }

    /// As `register`; if not `is_wide`, for reading, until it is [widened](Registration::widen).
    ///
    /// # Errors
    /// As there.
    pub(crate) fn register_for(
        self: &Arc<Self>,
        fd: BorrowedFd<'_>,
        is_wide: bool,
    ) -> io::Result<Arc<Registration>> {
        let mut slots = self.lock();
        let token = slots.next_token()?;
        let registry = slots.registry.as_ref().ok_or(ReactorGone)?;
        let interest = match is_wide {
            true => both(),
            false => Interest::READABLE,
        };
        // Under the lock, so that the reactor cannot stop between the two steps; its worker can
        // meet an event of this token only after the second.
        let enter = |fd: RawFd| registry.register(&mut SourceFd(&fd), Token(token), interest);
        let alias = match enter(fd.as_raw_fd()) {
            Ok(()) => None,
            // Somebody else has registered this very descriptor here. The poller tells them apart by their numbers.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let alias = fd.try_clone_to_owned()?;
                enter(alias.as_raw_fd())?;
                Some(alias)
            }
            Err(error) => return Err(error),
        };
        let registration = Registration::new(token, Arc::clone(self), is_wide, alias);
        let registration = Arc::new(registration);
        slots.entries.insert(Arc::clone(&registration));
        Ok(registration)
    }

    /// Has the poller report both directions of a registration that it knows for reading.
    #[cold]
    pub(super) fn widen(&self, registration: &Registration, fd: RawFd) -> io::Result<()> {
        let slots = self.lock();
        // Else it is over, which whoever waits is told.
        if slots.find(registration.token()).is_some()
            && let Some(registry) = &slots.registry
        {
            let token = Token(registration.token());
            registry.reregister(&mut SourceFd(&registration.number(fd)), token, both())?;
            registration.note_wide();
        }
        Ok(())
    }

    /// Waiters that are armed now. A waiter that is about to be woken counts until it has been.
    ///
    /// Relaxed, because whoever decides by it must have synchronised with the waiters otherwise:
    /// a task arms before it parks, and the worker that asks has seen it park.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Registrations that were not deregistered.
    pub(crate) fn registered(&self) -> usize {
        self.lock().entries.len()
    }

    #[inline]
    pub(super) fn waiting_count(&self) -> &AtomicUsize {
        &self.waiting
    }

    #[inline]
    pub(super) fn wake_all(&self, wakers: &mut Vec<Waker>) {
        wake_and_uncount(wakers, &self.waiting);
    }

    /// Takes a registration out, once.
    pub(super) fn remove(&self, registration: &Registration, fd: RawFd) -> io::Result<()> {
        let mut slots = self.lock();
        let token = registration.token();
        if slots.find(token).is_none() {
            return Ok(());
        }
        let entry = slots.entries.remove(token & PLACE_MASK);
        let result = match &slots.registry {
            Some(registry) => registry.deregister(&mut SourceFd(&registration.number(fd))),
            None => Ok(()),
        };
        drop(slots);
        drop(entry);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Nothing that can panic between two states runs under it.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ReactorShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.lock();
        f.debug_struct("ReactorShared")
            .field("registered", &slots.entries.len())
            .field("waiting", &self.waiting())
            .field("gone", &slots.registry.is_none())
            .finish()
    }
}

/// Both directions, and where the system tells of it, that a stream has urgent data.
fn both() -> Interest {
    let both = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let both = both | Interest::PRIORITY;
    both
}

/// Ends the sleep of a reactor, or the next one if it is awake.
///
/// Holds its own descriptor: used after the reactor is gone, it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct Unparker(Arc<mio::Waker>);

impl Unparker {
    /// A system call, so to be used only when the worker sleeps or is about to.
    pub(crate) fn unpark(&self) {
        if let Err(error) = self.0.wake() {
            // The counter is reset by mio when it is full; nothing else is known to fail.
            log::error!("cannot wake a worker: {error}");
        }
    }
}

#[cfg(test)]
#[path = "reactor_tests.rs"]
mod tests;
