//! Descriptors that futures poll: whoever polled last is woken, by a relay that hangs where a task would.
//!
//! A future that is dropped tells its stream nothing. So what it leaves behind must be in nobody's way: the relay of
//! a direction stays at the registration, and its waker is whoever polled last; a task that wants to wait there takes
//! the place, and wakes the poller, which finds out when it polls again whether it is still alive.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

use crate::base::error::Cancelled;
use crate::driver::reactor::ReactorShared;
use crate::driver::registration::{Arm, Direction, Registration};
use crate::runtime::global;
use crate::scheduler::{current, park};

use super::{Watch, busy, closed_by_another, count_wait};

/// What hangs at a registration for one who polls.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Who polled last and has not been woken since.
    poller: Mutex<Option<Waker>>,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        // No code of others runs under it.
        self.poller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the relay is armed: an event that comes then finds the poller.
    fn set(&self, poller: &Waker) {
        let mut slot = self.lock();
        if slot.as_ref().is_some_and(|other| other.will_wake(poller)) {
            return;
        }
        drop(slot);
        // A waker is anybody's code, its clone and its drop too.
        let poller = poller.clone();
        slot = self.lock();
        let last = slot.replace(poller);
        drop(slot);
        drop(last);
    }

    fn take(&self) -> Option<Waker> {
        self.lock().take()
    }

    /// Forgets `poller`, if it is still the last one, and does `then` before another can be: whose waker would be in a
    /// relay that is no longer armed.
    fn forget(&self, poller: &Waker, then: impl FnOnce()) {
        let mut slot = self.lock();
        let last = slot.take_if(|last| last.will_wake(poller));
        if last.is_some() {
            then();
        }
        drop(slot);
        drop(last);
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(poller) = self.take() {
            park::wake_foreign(poller);
        }
    }
}

impl Watch {
    /// Asks `call` for an answer; when it would block, `waker` is woken as soon as it may have another one.
    pub(crate) fn poll_operate<T>(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        waker: &Waker,
        mut call: impl FnMut() -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        // A poll must not wait, others' locks may be held over it: so it is the task that yields.
        if park::is_budget_spent() {
            waker.wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.is_closed() {
                return Poll::Ready(Err(closed_by_another()));
            }
            let at = match self.registration() {
                Some(at) => at,
                None => match self.register_to_poll(fd) {
                    Ok(()) => continue,
                    Err(error) => return Poll::Ready(Err(error)),
                },
            };
            let tick = at.prepare(direction);
            if !at.is_drained(direction, tick) {
                match call() {
                    Ok(value) => {
                        if drained(&value) {
                            at.note_drained(direction, tick);
                        }
                        self.forget_poller(&at, direction, waker);
                        return Poll::Ready(Ok(value));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        at.note_drained(direction, tick);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        self.forget_poller(&at, direction, waker);
                        return Poll::Ready(Err(self.explain(error)));
                    }
                }
            }
            if park::must_give_up() {
                return Poll::Ready(Err(Cancelled.into()));
            }
            let relay = self.relays[direction as usize].get_or_init(Arc::default);
            relay.set(waker);
            match at.arm_relay(direction, tick, &Waker::from(relay.clone())) {
                Arm::Armed => {
                    Polling::note();
                    return Poll::Pending;
                }
                Arm::Ready | Arm::ReactorGone => {}
                Arm::Busy => {
                    relay.forget(waker, || ());
                    return Poll::Ready(Err(busy()));
                }
                Arm::Closed => return Poll::Ready(Err(closed_by_another())),
            }
        }
    }

    /// Registers at this worker's reactor; elsewhere at that of the default runtime, which starts with it.
    #[cold]
    fn register_to_poll(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let here = current::with_processor(|here| here.map(|here| here.reactor.clone()));
        let reactor: Arc<ReactorShared> = match here {
            Some(reactor) => reactor,
            None => global()?.reactor.clone(),
        };
        self.register_at(&reactor, fd).map(drop)
    }

    /// After an answer: this one does not wait any more. Another who has polled since, does.
    fn forget_poller(&self, at: &Registration, direction: Direction, waker: &Waker) {
        if let Some(relay) = self.relays[direction as usize].get() {
            relay.forget(waker, || {
                at.withdraw_relay(direction, &Waker::from(relay.clone()));
            });
        }
    }

    /// Makes room for a task that wants to wait where somebody polls, or once did; false if that is not who is there.
    #[cold]
    pub(super) fn displace(&self, at: &Registration, direction: Direction) -> bool {
        let Some(relay) = self.relays[direction as usize].get() else {
            return false;
        };
        let was_there = at.withdraw_relay(direction, &Waker::from(relay.clone()));
        if was_there && let Some(poller) = relay.take() {
            park::wake_foreign(poller);
        }
        was_there
    }
}

/// For who runs a future on a task: whether it has polled a descriptor, so that the system may still wake it.
#[derive(Debug)]
pub(crate) struct Polling {
    /// The same of the future within which this one runs.
    outer: bool,
}

impl Polling {
    pub(crate) fn begin() -> Self {
        let outer = current::with_local(|local| local.is_some_and(|local| local.polls_io().take()));
        Polling { outer }
    }

    fn note() {
        current::with_local(|local| {
            if let Some(local) = local {
                local.polls_io().set(true);
            }
        });
    }

    /// To be held over the wait: the worker is at no standstill if a descriptor was polled.
    pub(crate) fn hope(&self) -> Option<Hope> {
        let is_hopeful = current::with_local(|local| local.is_some_and(|l| l.polls_io().get()));
        is_hopeful.then(|| {
            count_wait(|waits| waits + 1);
            Hope
        })
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        current::with_local(|local| {
            if let Some(local) = local {
                local.polls_io().set(self.outer);
            }
        });
    }
}

/// Counts the running task among those that wait for a descriptor.
#[derive(Debug)]
pub(crate) struct Hope;

impl Drop for Hope {
    fn drop(&mut self) {
        count_wait(|waits| waits - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::runtime::run;

    /// Counts its wakes.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn an_answer_to_one_poller_takes_nothing_from_another_who_was_told_to_wait_meanwhile() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut watch = Watch::default();
        let woken = Arc::new(Count::default());
        let other = Waker::from(woken.clone());
        run(|| {
            let fd = near.as_fd();
            let poll = |waker: &Waker, call: &dyn Fn() -> io::Result<u8>| {
                watch.poll_operate(fd, Direction::Read, waker, call, |_| false)
            };
            let is_empty = || Err(ErrorKind::WouldBlock.into());
            let waits_meanwhile = || {
                assert!(poll(&other, &is_empty).is_pending());
                Ok(1)
            };
            let answer = poll(Waker::noop(), &waits_meanwhile);
            assert!(matches!(answer, Poll::Ready(Ok(1))));
            far.write_all(b"x").unwrap();
            let began = Instant::now();
            while woken.0.load(Ordering::SeqCst) == 0 {
                assert!(began.elapsed().as_secs() < 20, "it is not woken");
                park::yield_now();
            }
        });
        watch.deregister(near.as_fd());
    }
}
