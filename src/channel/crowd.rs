//! Those who wait for a number to be passed, called in batches: the line of the channels that tell everybody.
//!
//! A value that is sent to a million receivers wakes a million. The latch that the line lies in must not be
//! held for as long as that takes, so they are called a few at a time, and woken in between. Whoever has
//! been woken may be back in the line before the last is called: each seat says which number it has seen, so
//! that a call ends with those who were there when it began.
//!
//! A called seat owns nothing. Its waiter looks again, and joins again if it must.

use crate::scheduler::park::Sleeper;

use crate::scheduler::park::Wait;
use crate::sync::wait_list::{self, Queue, Ticket, WaitList, Wakers};

/// So many are called while the latch is held.
const BATCH: usize = 64;

/// Passes every number: for the end of a channel. Nobody may join after it.
pub(super) const END: u64 = u64::MAX;

/// Numbers do not fall from the first seat to the last.
#[derive(Debug)]
pub(super) struct Crowd(WaitList<u64>);

/// Where a crowd lies: behind a latch.
pub(super) trait Place {
    /// Does something inside the latch.
    fn enter<R>(&self, act: impl FnOnce(&mut Crowd) -> R) -> R;
}

/// Some who were called, to be woken outside of the latch.
#[must_use = "the called wait until they are woken"]
#[derive(Debug)]
pub(super) struct Called {
    wakers: Wakers,
    number: u64,
    is_all: bool,
}

/// How a wait in a crowd has ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// The number was passed: look again.
    Called,
    /// The deadline was.
    Late,
    /// The task was cancelled and cannot unwind; only a wait that has an error for it ends so.
    GivenUp,
}

impl Crowd {
    pub(super) const fn new() -> Self {
        Crowd(WaitList::new())
    }

    /// Waits for a number above `seen`, which is the highest that there is.
    pub(super) fn join(&mut self, seen: u64) -> Ticket {
        self.0.join(seen)
    }

    /// As [`join`](Self::join), for a waiter that is no task and no thread.
    pub(super) fn join_with(&mut self, sleeper: Sleeper, seen: u64) -> Ticket {
        self.0.join_with(sleeper, seen)
    }

    pub(super) fn is_called(&self, ticket: &Ticket) -> bool {
        self.0.is_called(ticket)
    }

    /// Gives a seat up.
    pub(super) fn stand_up(&mut self, ticket: &Ticket) {
        let _ = self.0.leave(ticket);
    }

    /// Calls those who wait for `number`, or as many as fit a batch.
    #[inline]
    pub(super) fn call(&mut self, number: u64) -> Called {
        let mut called = Called {
            wakers: Wakers::new(),
            number,
            is_all: true,
        };
        if !self.0.is_empty() {
            called.is_all = self.call_batch(number, &mut called.wakers);
        }
        called
    }

    /// Whether everybody was called.
    fn call_batch(&mut self, number: u64, wakers: &mut Wakers) -> bool {
        for _ in 0..BATCH {
            match self.call_first(number) {
                Some(waker) => wakers.push(waker),
                None => return true,
            }
        }
        false
    }

    fn call_first(&mut self, number: u64) -> Option<Sleeper> {
        match self.0.first() {
            Some(&mut seen) if seen < number => self.0.call_first(),
            _ => None,
        }
    }
}

impl Called {
    /// Wakes them, and calls and wakes the others.
    #[inline]
    pub(super) fn wake(self, place: &impl Place) {
        self.wakers.wake();
        if !self.is_all {
            wake_rest(self.number, place);
        }
    }
}

#[cold]
fn wake_rest(number: u64, place: &impl Place) {
    loop {
        let called = place.enter(|crowd| crowd.call(number));
        called.wakers.wake();
        if called.is_all {
            return;
        }
    }
}

/// Parks until the seat is called or the wait's deadline passes. For a wait that can fail.
#[track_caller]
pub(super) fn wait<P: Place>(place: &P, ticket: Ticket, wait: &Wait<'_>) -> Passed {
    wait_list::wait(Seats::<P, true>(place), ticket, wait)
}

/// As [`wait`], for a wait that cannot fail: false at the deadline.
#[track_caller]
pub(super) fn wait_firmly<P: Place>(place: &P, ticket: Ticket, wait: &Wait<'_>) -> bool {
    wait_list::wait(Seats::<P, false>(place), ticket, wait) == Passed::Called
}

struct Seats<'a, P, const CAN_FAIL: bool>(&'a P);

impl<P: Place, const CAN_FAIL: bool> Queue for Seats<'_, P, CAN_FAIL> {
    type Outcome = Passed;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Passed> {
        self.0.enter(|Crowd(line)| {
            let is_called = line.is_called(ticket);
            if !is_called && !is_late {
                return None;
            }
            let _ = line.leave(ticket);
            Some(match is_called {
                true => Passed::Called,
                false => Passed::Late,
            })
        })
    }

    fn cancel(&self, ticket: &Ticket) -> Option<Passed> {
        CAN_FAIL.then(|| {
            self.abandon(ticket);
            Passed::GivenUp
        })
    }

    fn abandon(&self, ticket: &Ticket) {
        let _ = self.0.enter(|Crowd(line)| line.leave(ticket));
    }
}
