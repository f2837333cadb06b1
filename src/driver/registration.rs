//! One descriptor at its reactor: what was seen of its readiness, and who waits for more.
//!
//! The reactor reports edges: it says that something happened, not that the descriptor is ready.
//! So each direction counts its events, and a wait goes like this:
//!
//! ```text
//! waiter                                     reactor
//! tick = prepare(direction)
//! system call says "would block"             an event: count + 1, take the waker, wake it
//! arm(direction, tick, waker)
//!    count is not `tick`: Ready, call again
//!    count is `tick`: the waker is stored
//! park; disarm(direction, tick) on every way out
//! ```
//!
//! No edge is lost. The counting, the storing and the taking happen under one lock, so an event is
//! either counted before `arm` looks (it answers `Ready`) or finds the waker. An edge that came
//! before `prepare` but is reported after it only costs one call more. What the system call found
//! is newer than `tick`, so everything after the call is an edge that is still to be counted.
//!
//! A call that was cut short (fewer bytes than the buffer has room for) proves the same as "would
//! block": the descriptor was drained at a time when the count was `tick`. While `prepare` still
//! answers that tick, the next operation may go straight to `arm` without a system call, if
//! [`Tick::proves_drained`] agrees: the end of a stream has no edge of its own when it arrived
//! together with the last bytes, so after a hang-up the question must always be put to the kernel. So it must after
//! urgent data of TCP: a read is cut short where they stand in the stream, with more behind them.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::{fmt, io};

use crate::driver::reactor::ReactorShared;

/// The two things that one can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Something can be read or accepted.
    Read,
    /// Something can be written, or a connection attempt has ended.
    Write,
}

/// How many events one direction has seen, and whether one of them was a hang-up.
///
/// Wraps after two billion events between `prepare` and `arm`, which no wait survives unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick(u32);

/// The direction was shut from the other side, or failed, or has had urgent data. Never taken back.
const HUNG_UP: u32 = 1;
/// One event.
const EVENT: u32 = 2;

/// No tick that proves anything.
const NEVER_DRAINED: u32 = HUNG_UP;

impl Tick {
    /// If a call drained the descriptor when [`Registration::prepare`] gave this tick, and it
    /// still gives it now: is the descriptor known to be drained?
    #[inline]
    pub(crate) fn proves_drained(self) -> bool {
        self.0 & HUNG_UP == 0
    }
}

/// The answer of [`Registration::arm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "only `Armed` will be woken"]
pub(crate) enum Arm {
    /// There was an event since `prepare`: prepare and call again.
    Ready,
    /// The waker is stored: park, and disarm afterwards.
    Armed,
    /// Another waiter is there: a second one is `ErrorKind::ResourceBusy`.
    Busy,
    /// The descriptor was closed on our side.
    Closed,
    /// The reactor has stopped: register anew, where the waiter runs.
    ReactorGone,
}

/// May waiters still come?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// Yes.
    Open = 0,
    /// No, the descriptor was closed on our side.
    Closed = 1,
    /// No, the reactor has stopped.
    ReactorGone = 2,
}

/// Edge-triggered interest in one descriptor, for as long as it is open: in both directions, or at first in reading.
pub(crate) struct Registration {
    /// Events seen, by direction. Written only under the lock of `waiters`.
    ticks: [AtomicU32; 2],
    /// The last tick that a call found the direction drained at, or `NEVER_DRAINED`. A fact about the
    /// descriptor, so it does not matter which of several callers wrote it last.
    drained: [AtomicU32; 2],
    /// A `Standing`; leaves `Open` once. Written only under the lock of `waiters`.
    standing: AtomicU8,
    /// It reports both directions; never taken back. Until then nobody may wait to write.
    is_wide: AtomicBool,
    /// Who waits, by direction. Never held over a wake.
    waiters: Mutex<[Option<Waker>; 2]>,
    /// What events carry to find this registration; never changes.
    token: usize,
    /// Its reactor; never changes.
    reactor: Arc<ReactorShared>,
    /// Another number for the descriptor, by which the poller knows it; where its own was taken. Never changes.
    alias: Option<OwnedFd>,
}

impl Registration {
    pub(super) fn new(
        token: usize,
        reactor: Arc<ReactorShared>,
        is_wide: bool,
        alias: Option<OwnedFd>,
    ) -> Registration {
        Registration {
            ticks: [AtomicU32::new(0), AtomicU32::new(0)],
            drained: [AtomicU32::new(NEVER_DRAINED), AtomicU32::new(NEVER_DRAINED)],
            standing: AtomicU8::new(Standing::Open as u8),
            is_wide: AtomicBool::new(is_wide),
            waiters: Mutex::new([None, None]),
            token,
            reactor,
            alias,
        }
    }

    /// The number by which the poller knows the descriptor `fd`.
    pub(super) fn number(&self, fd: RawFd) -> RawFd {
        self.alias.as_ref().map_or(fd, AsRawFd::as_raw_fd)
    }

    /// What the direction has seen up to now: to be taken before the system call.
    #[inline]
    pub(crate) fn prepare(&self, direction: Direction) -> Tick {
        // Acquire: pairs with the release in `count`, so that the system call that follows comes
        // after whatever the event was about.
        Tick(self.ticks[direction as usize].load(Ordering::Acquire))
    }

    /// Notes that a call which began after [`Registration::prepare`] gave `tick` took or filled all
    /// there was.
    #[inline]
    pub(crate) fn note_drained(&self, direction: Direction, tick: Tick) {
        // Relaxed: it is only a hint to skip a call, and what it says is true for ever.
        self.drained[direction as usize].store(tick.0, Ordering::Relaxed);
    }

    /// Is the descriptor known to be drained, if `tick` is what [`Registration::prepare`] says now?
    #[inline]
    pub(crate) fn is_drained(&self, direction: Direction, tick: Tick) -> bool {
        tick.proves_drained() && self.drained[direction as usize].load(Ordering::Relaxed) == tick.0
    }

    /// To be called before one waits to write: from now on that direction is reported as well. If it is ready at
    /// this moment, that is an event.
    ///
    /// # Errors
    /// What the system's poller says.
    #[inline]
    pub(crate) fn widen(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // Acquire: pairs with the release below, so that the poller knows before anybody waits.
        match self.is_wide.load(Ordering::Acquire) {
            true => Ok(()),
            false => self.reactor.widen(self, fd.as_raw_fd()),
        }
    }

    /// By the reactor, which has told the poller.
    pub(super) fn note_wide(&self) {
        self.is_wide.store(true, Ordering::Release);
    }

    /// Whether it is that reactor which reports.
    #[cfg(feature = "process")]
    pub(crate) fn is_at(&self, reactor: &Arc<ReactorShared>) -> bool {
        Arc::ptr_eq(&self.reactor, reactor)
    }

    /// As [`Registration::arm_by`], with a waker that is at hand.
    #[cfg(test)]
    pub(crate) fn arm(&self, direction: Direction, tick: Tick, waker: &Waker) -> Arm {
        self.arm_by(direction, tick, || waker.clone())
    }

    /// Stores a waker to be woken by the next event, unless there was one since `tick`.
    pub(crate) fn arm_by(
        &self,
        direction: Direction,
        tick: Tick,
        waker: impl FnOnce() -> Waker,
    ) -> Arm {
        // Made outside of the lock: a waker may be anybody's code.
        let waker = waker();
        let mut waiters = self.lock();
        // Rare: the caller has just been told by the system that there is nothing.
        if let Some(answer) = self.refusal(direction, tick) {
            return answer;
        }
        match &mut waiters[direction as usize] {
            Some(other) if other.will_wake(&waker) => Arm::Armed,
            Some(_) => Arm::Busy,
            empty => {
                *empty = Some(waker);
                // Relaxed: see `ReactorShared::waiting`.
                self.reactor.waiting_count().fetch_add(1, Ordering::Relaxed);
                Arm::Armed
            }
        }
    }

    /// Why nobody may wait for this tick, if so.
    #[inline]
    fn refusal(&self, direction: Direction, tick: Tick) -> Option<Arm> {
        match self.standing() {
            Standing::Closed => Some(Arm::Closed),
            Standing::ReactorGone => Some(Arm::ReactorGone),
            Standing::Open => (self.prepare(direction) != tick).then_some(Arm::Ready),
        }
    }

    /// Takes back what `arm` stored for this tick, if it is still there.
    ///
    /// Costs one load when an event has come, which is the rule.
    #[inline]
    pub(crate) fn disarm(&self, direction: Direction, tick: Tick) {
        // Whoever takes a waker counts an event first: another count means that ours is gone, and
        // that what is there now belongs to somebody else.
        if self.prepare(direction) == tick {
            self.withdraw(direction, tick);
        }
    }

    #[cold]
    fn withdraw(&self, direction: Direction, tick: Tick) {
        let mut waiters = self.lock();
        if self.prepare(direction) != tick {
            return;
        }
        let waker = waiters[direction as usize].take();
        drop(waiters);
        if waker.is_some() {
            self.reactor.waiting_count().fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// As [`Registration::arm_by`], for a waker that stands for whoever polls: it stays when it is there already.
    #[cfg(feature = "futures-io")]
    pub(crate) fn arm_relay(&self, direction: Direction, tick: Tick, relay: &Waker) -> Arm {
        let mut waiters = self.lock();
        if let Some(answer) = self.refusal(direction, tick) {
            return answer;
        }
        match &mut waiters[direction as usize] {
            // By the allocation: the tables of two clones may differ.
            Some(other) if other.data() == relay.data() => Arm::Armed,
            Some(_) => Arm::Busy,
            empty => {
                *empty = Some(relay.clone());
                // Relaxed: see `ReactorShared::waiting`.
                self.reactor.waiting_count().fetch_add(1, Ordering::Relaxed);
                Arm::Armed
            }
        }
    }

    /// Takes back what `arm_relay` stored; false if it is not there.
    #[cfg(feature = "futures-io")]
    pub(crate) fn withdraw_relay(&self, direction: Direction, relay: &Waker) -> bool {
        let mut waiters = self.lock();
        let is_it = |other: &mut Waker| other.data() == relay.data();
        let waker = waiters[direction as usize].take_if(is_it);
        drop(waiters);
        if waker.is_some() {
            self.reactor.waiting_count().fetch_sub(1, Ordering::Relaxed);
        }
        waker.is_some()
    }

    /// May waiters still come?
    #[inline]
    pub(crate) fn standing(&self) -> Standing {
        // Acquire: pairs with the release in `end`; what was done before closing is seen.
        match self.standing.load(Ordering::Acquire) {
            0 => Standing::Open,
            1 => Standing::Closed,
            _ => Standing::ReactorGone,
        }
    }

    /// Ends all waiting: waiters are woken and learn from [`Registration::standing`], or from
    /// `arm`, that it was closed. The descriptor stays registered until it is deregistered.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        self.end(Standing::Closed, &mut wakers);
        self.reactor.wake_all(&mut wakers);
    }

    /// Closes, and takes the descriptor off the reactor; to be called from any thread before the
    /// descriptor is closed. Nothing is left to do when the reactor has stopped.
    ///
    /// # Errors
    /// What the system's poller says; the registration is over nevertheless.
    pub(crate) fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let result = self.reactor.remove(self, fd.as_raw_fd());
        self.close();
        result
    }

    #[inline]
    pub(super) fn token(&self) -> usize {
        self.token
    }

    /// Counts an event and gathers the wakers of those who waited for it.
    pub(super) fn report(&self, event: Event, wakers: &mut Vec<Waker>) {
        let mut waiters = self.lock();
        if let Some(seen) = event.read {
            self.count(Direction::Read, seen);
            wakers.extend(waiters[Direction::Read as usize].take());
        }
        if let Some(seen) = event.write {
            self.count(Direction::Write, seen);
            wakers.extend(waiters[Direction::Write as usize].take());
        }
    }

    /// Leaves `Open`, once, and gathers the wakers of all who waited.
    pub(super) fn end(&self, standing: Standing, wakers: &mut Vec<Waker>) {
        let mut waiters = self.lock();
        if self.standing() != Standing::Open {
            return;
        }
        self.standing.store(standing as u8, Ordering::Release);
        for direction in [Direction::Read, Direction::Write] {
            self.count(direction, Seen::HungUp);
            wakers.extend(waiters[direction as usize].take());
        }
    }

    /// Counts one event; only under the lock, so a load and a store will do.
    fn count(&self, direction: Direction, seen: Seen) {
        let tick = &self.ticks[direction as usize];
        let hung_up = if seen == Seen::HungUp { HUNG_UP } else { 0 };
        let next = tick.load(Ordering::Relaxed).wrapping_add(EVENT) | hung_up;
        tick.store(next, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        // Nothing that can panic runs under it.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [read, write] = self.lock().each_ref().map(Option::is_some);
        f.debug_struct("Registration")
            .field("token", &format_args!("{:#x}", self.token))
            .field("standing", &self.standing())
            .field("reader_waits", &read)
            .field("writer_waits", &write)
            .finish_non_exhaustive()
    }
}

/// What happened in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It may be ready.
    Ready,
    /// It was shut from the other side or failed, so it stays ready for ever; or there are urgent data, so that a
    /// short read proves nothing any more.
    HungUp,
}

/// What one event of the poller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) read: Option<Seen>,
    pub(super) write: Option<Seen>,
}

impl Event {
    /// An error wakes both sides: whichever calls next is told what it was.
    pub(super) fn of(event: &mio::event::Event) -> Event {
        let error = event.is_error();
        let is_doubtful = event.is_read_closed() || event.is_priority() || error;
        let seen = |ready: bool, closed: bool| match (ready, closed) {
            (_, true) => Some(Seen::HungUp),
            (true, false) => Some(Seen::Ready),
            (false, false) => None,
        };
        Event {
            read: seen(event.is_readable(), is_doubtful),
            write: seen(event.is_writable(), event.is_write_closed() || error),
        }
    }
}

/// Wakes them all, and only then takes them off the count of those who wait: at no moment is one
/// neither counted nor runnable.
pub(super) fn wake_and_uncount(wakers: &mut Vec<Waker>, waiting: &AtomicUsize) {
    let count = wakers.len();
    for waker in wakers.drain(..) {
        waker.wake();
    }
    if count > 0 {
        waiting.fetch_sub(count, Ordering::Relaxed);
    }
}
