//! What a descriptor needs so that tasks can wait for it: where it is registered, and whether it is closed.
//!
//! A descriptor is registered when somebody first has to wait for it, at the reactor of the worker on
//! which that task runs, and stays there: its waiters on other workers are woken from there. When that
//! reactor stops with its runtime, the next wait registers anew where it runs.
//!
//! An operation goes like this. `call` is the system call, which never blocks.
//!
//! ```text
//! tick = prepare                    before the call: every edge from here on is counted
//! call, unless the last one is known to have drained the descriptor at this tick
//!     an answer: done
//! register, if it was not: what comes first is edge number one, so the tick is a fresh one
//! arm(tick), park, disarm           on a plain thread: poll(2)
//! call in any case, and so on
//! ```
//!
//! Nothing between the system call and the return can unwind, so a cancelled operation has taken no
//! bytes. That is why the budget of operations is spent before the call.

#[cfg(feature = "futures-io")]
mod polled;
mod several;

use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use std::{error, fmt};

use crate::base::clock::{Deadline, real_now};
use crate::base::error::{Cancelled, TimedOut};
use crate::driver::reactor::ReactorShared;
use crate::driver::registration::{Arm, Direction, Registration, Standing, Tick};
use crate::scheduler::current;
use crate::scheduler::park::{self, Describe, Wait, Wake};
use crate::sys::poll::{Interest, poll_fd_or_bell};

use super::bell::{self, Bell};

#[cfg(feature = "futures-io")]
pub(crate) use polled::Polling;
pub(crate) use several::Several;

/// How long an operation may wait. The clock is read only when it does wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Never,
    /// It may not wait at all: `WouldBlock` instead.
    Now,
    Within(Duration),
    At(Deadline),
}

impl Limit {
    #[inline]
    pub(crate) fn of(timeout: Option<Duration>) -> Limit {
        timeout.map_or(Limit::Never, Limit::Within)
    }

    #[inline]
    pub(crate) fn deadline(self) -> Deadline {
        match self {
            Limit::Never => Deadline::NEVER,
            Limit::Now => Deadline::PASSED,
            Limit::Within(duration) => park::deadline(duration),
            Limit::At(deadline) => deadline,
        }
    }
}

/// What an operation waits for, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) direction: Direction,
    /// `wing.verb`, for dumps and reports.
    pub(crate) reason: &'static str,
    pub(crate) limit: Limit,
    /// Whether the call asks the kernel and nobody else: then its "would block" holds for every other call. Not so
    /// that of a user's operation, which may want more than there is.
    pub(crate) is_bare: bool,
}

/// The inner error of an operation on a descriptor that was closed by `close`.
#[derive(Clone, Copy, Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed on this side by a call of close")
    }
}

impl error::Error for Closed {}

/// The error of an operation on a descriptor that was closed by `close`, perhaps by another task.
#[cold]
pub(crate) fn closed_by_another() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, Closed)
}

/// The error of a second reader, or a second writer, at the same time.
#[cold]
fn busy() -> io::Error {
    let text = "another task waits for this side of the descriptor already";
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

/// Where a descriptor is registered, and whether it is closed.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Its first registration. As a rule there is no other.
    first: OnceLock<Arc<Registration>>,
    /// What is seldom needed. The lock also orders registering against closing, so that a wait that has
    /// registered has seen the mark, or is seen by who sets it.
    rare: Mutex<Rare>,
    /// Set once, under the lock of `rare`.
    closed: AtomicBool,
    /// By direction: what wakes the last one to have polled it.
    #[cfg(feature = "futures-io")]
    relays: [OnceLock<Arc<polled::Relay>>; 2],
}

#[derive(Debug, Default)]
struct Rare {
    /// The registration that replaced the first one after its reactor had stopped.
    later: Option<Arc<Registration>>,
    /// Of the plain threads that wait now.
    bells: Vec<Arc<Bell>>,
}

impl Rare {
    #[cold]
    fn replacement(&self) -> Option<Arc<Registration>> {
        let is_good = |later: &&Arc<Registration>| later.standing() != Standing::ReactorGone;
        self.later.as_ref().filter(is_good).cloned()
    }

    /// Puts up this thread's bell. `None` where it has none: then only what the kernel tells of the descriptor
    /// ends its wait.
    fn hang(&mut self) -> Option<Arc<Bell>> {
        let bell = bell::of_this_thread()?;
        self.bells.push(bell.clone());
        Some(bell)
    }

    /// Makes it silent again: who has rung it has found it under the lock, so no ringing comes later.
    fn take_down(&mut self, bell: &Arc<Bell>) {
        self.bells.retain(|other| !Arc::ptr_eq(other, bell));
        bell.silence();
    }
}

/// A registration in use.
enum At<'a> {
    First(&'a Registration),
    Later(Arc<Registration>),
}

impl Deref for At<'_> {
    type Target = Registration;
    #[inline]
    fn deref(&self) -> &Registration {
        match self {
            At::First(registration) => registration,
            At::Later(registration) => registration,
        }
    }
}

/// Why a wait is over, when it is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Woken,
    TimedOut,
}

impl Watch {
    /// Repeats `call` until it does not block, waiting in between. `drained` says of an answer that it
    /// proves that no more can be had now.
    #[track_caller]
    #[inline]
    pub(crate) fn operate<T>(
        &self,
        fd: BorrowedFd<'_>,
        aim: Aim,
        mut call: impl FnMut() -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        park::spend_budget();
        // The common case: registered long ago, and there is something to be had.
        if aim.is_bare
            && let Some(first) = self.first.get()
        {
            let tick = first.prepare(aim.direction);
            if !first.is_drained(aim.direction, tick) && first.standing() == Standing::Open {
                match call() {
                    Ok(value) => {
                        if drained(&value) {
                            first.note_drained(aim.direction, tick);
                        }
                        return Ok(value);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        first.note_drained(aim.direction, tick);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.explain(error)),
                }
            }
        }
        self.operate_waiting(fd, aim, call, drained)
    }

    #[track_caller]
    fn operate_waiting<T>(
        &self,
        fd: BorrowedFd<'_>,
        aim: Aim,
        mut call: impl FnMut() -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        let mut deadline = None;
        let mut last = None;
        loop {
            if self.is_closed() {
                return Err(closed_by_another());
            }
            let at = self.registration();
            let tick = at.as_deref().map(|at| (at, at.prepare(aim.direction)));
            let is_known = |(at, tick): (&Registration, Tick)| {
                aim.is_bare && at.is_drained(aim.direction, tick)
            };
            // After a wait the question is always put to the kernel: an edge that has not been reported
            // yet, a spurious wake, a plain thread, a last look at the deadline. And where there is no wait.
            let may_wait = !matches!(aim.limit, Limit::Now);
            if last.is_some() || !may_wait || !tick.is_some_and(is_known) {
                match call() {
                    Ok(value) => {
                        if let Some((at, tick)) = tick
                            && drained(&value)
                        {
                            at.note_drained(aim.direction, tick);
                        }
                        return Ok(value);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && may_wait => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(self.explain(error)),
                }
            }
            if last == Some(Waited::TimedOut) {
                return Err(TimedOut.into());
            }
            let deadline = *deadline.get_or_insert_with(|| aim.limit.deadline());
            if park::must_give_up() {
                return Err(Cancelled.into());
            }
            last = Some(self.wait(fd, aim, tick, deadline)?);
        }
    }

    /// An error that closing on our side brought about is told as such.
    #[cold]
    fn explain(&self, error: io::Error) -> io::Error {
        match self.is_closed() {
            true => closed_by_another(),
            false => error,
        }
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with the release in `close`.
        self.closed.load(Ordering::Acquire)
    }

    /// Where it is registered now, if it is.
    #[inline]
    fn registration(&self) -> Option<At<'_>> {
        let first = self.first.get()?;
        match first.standing() {
            Standing::ReactorGone => self.lock().replacement().map(At::Later),
            _ => Some(At::First(first)),
        }
    }

    #[track_caller]
    #[inline]
    fn wait(
        &self,
        fd: BorrowedFd<'_>,
        aim: Aim,
        tick: Option<(&Registration, Tick)>,
        deadline: Deadline,
    ) -> io::Result<Waited> {
        if !is_on_task() {
            return self.wait_on_thread(fd, aim.direction, deadline);
        }
        if let Some((at, tick)) = tick {
            let waited = park_at(fd, at, tick, aim, deadline);
            #[cfg(feature = "futures-io")]
            if waited.is_err() && self.displace(at, aim.direction) {
                return Ok(Waited::Woken);
            }
            return waited;
        }
        match self.register(fd)? {
            // Ours alone, and at our own worker's reactor, which is not turned before we park: an edge
            // since the call is still to be counted.
            Some(at) => park_at(fd, &at, at.prepare(aim.direction), aim, deadline),
            None => Ok(Waited::Woken),
        }
    }

    /// Registers at this worker's reactor. `None` when somebody else has done so meanwhile.
    #[cold]
    fn register(&self, fd: BorrowedFd<'_>) -> io::Result<Option<At<'_>>> {
        let reactor = current::with_processor(|here| here.map(|here| here.reactor.clone()));
        self.register_at(&reactor.expect("a task runs on a worker"), fd)
    }

    /// Registers at a reactor. `None` when somebody else has done so meanwhile, there or elsewhere.
    #[cold]
    fn register_at(
        &self,
        reactor: &Arc<ReactorShared>,
        fd: BorrowedFd<'_>,
    ) -> io::Result<Option<At<'_>>> {
        let mut rare = self.lock();
        if self.is_closed() {
            return Err(closed_by_another());
        }
        let is_open = |first: &Arc<Registration>| first.standing() != Standing::ReactorGone;
        if self.first.get().is_some_and(is_open) || rare.replacement().is_some() {
            return Ok(None);
        }
        let registration = reactor.register(fd)?;
        if let Err(registration) = self.first.set(registration) {
            rare.later = Some(registration.clone());
            return Ok(Some(At::Later(registration)));
        }
        Ok(self.first.get().map(|first| At::First(first)))
    }

    /// Blocks the thread in poll(2), with its bell beside the descriptor.
    #[cold]
    fn wait_on_thread(
        &self,
        fd: BorrowedFd<'_>,
        way: Direction,
        deadline: Deadline,
    ) -> io::Result<Waited> {
        let interest = match way {
            Direction::Read => Interest::Read,
            Direction::Write => Interest::Write,
        };
        let mut rare = self.lock();
        if self.is_closed() {
            return Err(closed_by_another());
        }
        let bell = rare.hang();
        drop(rare);
        let waited = poll_fd_or_bell(
            fd,
            interest,
            bell.as_deref().map(Bell::as_fd),
            deadline.remaining(real_now()),
        );
        if let Some(bell) = bell {
            self.lock().take_down(&bell);
        }
        match waited? {
            true => Ok(Waited::Woken),
            false => Ok(Waited::TimedOut),
        }
    }

    /// Marks it closed and wakes all waiters, who get an error. False when it was closed already.
    pub(crate) fn close(&self) -> bool {
        let (is_first, later) = {
            let rare = self.lock();
            rare.bells.iter().for_each(|bell| bell.ring());
            let is_first = !self.closed.swap(true, Ordering::Release);
            (is_first, rare.later.clone())
        };
        for registration in self.first.get().into_iter().chain(&later) {
            registration.close();
        }
        is_first
    }

    /// Takes the descriptor off its reactor; nobody waits any more.
    pub(crate) fn deregister(&mut self, fd: BorrowedFd<'_>) {
        let rare = self.rare.get_mut();
        let later = rare.unwrap_or_else(PoisonError::into_inner).later.take();
        for registration in self.first.take().into_iter().chain(later) {
            if registration.standing() == Standing::ReactorGone {
                continue;
            }
            if let Err(error) = registration.deregister(fd) {
                log::debug!("a descriptor was off its poller already: {error}");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rare> {
        // Nothing that can panic between two states runs under it.
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a wait here suspends a task. Inside the panic hook, and on a worker's own stack, it blocks
/// the thread.
#[inline]
fn is_on_task() -> bool {
    current::with_local(|local| local.is_some_and(|local| !local.is_in_hook()))
}

/// Takes the waker back on every way out, also when the wait is cancelled.
struct Disarm<'a> {
    at: &'a Registration,
    direction: Direction,
    tick: Tick,
}

impl<'a> Disarm<'a> {
    #[inline]
    fn new(at: &'a Registration, direction: Direction, tick: Tick) -> Self {
        count_wait(|waits| waits + 1);
        Disarm {
            at,
            direction,
            tick,
        }
    }
}

impl Drop for Disarm<'_> {
    #[inline]
    fn drop(&mut self) {
        count_wait(|waits| waits - 1);
        self.at.disarm(self.direction, self.tick);
    }
}

/// A worker whose tasks wait for descriptors is not at a standstill, wherever those are registered.
#[inline]
pub(super) fn count_wait(change: impl FnOnce(usize) -> usize) {
    current::with_processor(|here| {
        if let Some(here) = here {
            here.io_waits.set(change(here.io_waits.get()));
        }
    });
}

#[track_caller]
#[inline]
fn park_at(
    fd: BorrowedFd<'_>,
    at: &Registration,
    tick: Tick,
    aim: Aim,
    deadline: Deadline,
) -> io::Result<Waited> {
    match at.arm_by(aim.direction, tick, park::current_waker) {
        Arm::Armed => {}
        Arm::Ready | Arm::ReactorGone => return Ok(Waited::Woken),
        Arm::Busy => return Err(busy()),
        Arm::Closed => return Err(closed_by_another()),
    }
    let _disarm = Disarm::new(at, aim.direction, tick);
    let what = Descriptor(fd);
    let wait = Wait::new(aim.reason).on(&what).until(deadline);
    match park::park(&wait) {
        Wake::Woken => Ok(Waited::Woken),
        Wake::TimedOut => Ok(Waited::TimedOut),
    }
}

/// Says which descriptor a wait is for; asked only when somebody wants a report.
pub(crate) struct Descriptor<'a>(pub(crate) BorrowedFd<'a>);

impl Describe for Descriptor<'_> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::os::fd::AsRawFd;
        let socket = socket2::SockRef::from(&self.0);
        write!(f, "descriptor {}", self.0.as_raw_fd())?;
        if let Some(near) = socket.local_addr().ok().and_then(|near| near.as_socket()) {
            write!(f, " ({near}")?;
            if let Some(far) = socket.peer_addr().ok().and_then(|far| far.as_socket()) {
                write!(f, " to {far}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}
