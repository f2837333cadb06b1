//! A fair line of waiters: first come, first called; whoever leaves early loses nothing that was meant for others.
//!
//! A `WaitList` is plain data. It lives inside its owner's latch, next to what is waited for (permits, a
//! queue of items), so that "nothing is there, so I join the line" is one step that no giver can miss:
//!
//! ```text
//!   waiter                                   giver
//!   latch: nothing there -> join             latch: put it into the first seat, `call_first`
//!   unlatch, park                            unlatch, wake the waker that `call_first` gave
//!   latch: called? take it and leave
//! ```
//!
//! A seat stays where it is from `join` to `leave`, and only its waiter leaves it. In between it is in the
//! line or *called*: out of the line, with whatever the caller has put into its payload. A called seat owns
//! what it was given; so exactly one of three happens, decided inside the latch:
//!
//! | the waiter comes back | seat in line | seat called |
//! |---|---|---|
//! | woken | parks again | takes what it was given |
//! | its deadline passed | leaves with nothing | takes what it was given: it came in time |
//! | unwinding (cancelled) | leaves with nothing | hands what it was given to the next in line |
//!
//! Wakers are taken out inside the latch and used outside of it: see [`Wakers`]. A wake that finds its
//! waiter gone is a no-op, by `scheduler::park`'s contract.

use std::task::Waker;

use slab::Slab;

use crate::scheduler::park::{self, Wait, Wake};

/// No seat.
const NONE: usize = usize::MAX;

/// A slab of seats that keeps more than this many when all are empty is given back.
const KEPT: usize = 64;

struct Seat<P> {
    /// Taken by whoever wakes.
    waker: Option<Waker>,
    payload: P,
    /// Neighbours in the line; `NONE` at its ends. Means nothing once called.
    before: usize,
    after: usize,
    is_called: bool,
}

/// The line, and the seats of those called but not back yet.
pub(crate) struct WaitList<P> {
    /// Allocates at the first wait; a line that is used again and again does not allocate.
    seats: Slab<Seat<P>>,
    first: usize,
    last: usize,
}

/// A waiter's claim to its seat, from `join` to `leave`.
#[derive(Debug)]
pub(crate) struct Ticket(usize);

/// What a waiter takes with it.
#[must_use]
#[derive(Debug)]
pub(crate) struct Left<P> {
    pub(crate) payload: P,
    pub(crate) is_called: bool,
    /// It stood first in line, uncalled: what kept it waiting may be no obstacle to the next.
    pub(crate) was_first: bool,
    /// The waiter's own, still: its drop is a count that goes down.
    _waker: Option<Waker>,
}

impl<P> WaitList<P> {
    pub(crate) const fn new() -> Self {
        WaitList {
            seats: Slab::new(),
            first: NONE,
            last: NONE,
        }
    }

    /// Whether nobody waits to be called.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// Takes a seat at the end of the line for the running task or thread.
    #[inline]
    pub(crate) fn join(&mut self, payload: P) -> Ticket {
        let seat = self.seats.insert(Seat {
            // A count goes up; no code but ours runs inside the latch.
            waker: Some(park::current_waker()),
            payload,
            before: self.last,
            after: NONE,
            is_called: false,
        });
        match self.last {
            NONE => self.first = seat,
            last => self.seats[last].after = seat,
        }
        self.last = seat;
        Ticket(seat)
    }

    /// What the first in line has brought.
    #[inline]
    pub(crate) fn first(&mut self) -> Option<&mut P> {
        self.seats.get_mut(self.first).map(|seat| &mut seat.payload)
    }

    /// Calls the first in line, out of it; returns the waker to wake.
    #[inline]
    pub(crate) fn call_first(&mut self) -> Option<Waker> {
        self.call_first_with(|_| ())
    }

    /// As [`call_first`](Self::call_first), for a caller that brings or fetches something.
    #[inline]
    pub(crate) fn call_first_with(&mut self, exchange: impl FnOnce(&mut P)) -> Option<Waker> {
        let first = self.first;
        let seat = self.seats.get_mut(first)?;
        exchange(&mut seat.payload);
        seat.is_called = true;
        let waker = seat.waker.take();
        self.unlink(first);
        // A seat without a waker was nudged before: its waiter is on its way and will see the call.
        Some(waker.unwrap_or_else(|| Waker::noop().clone()))
    }

    /// Calls everybody.
    pub(crate) fn call_all(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        while let Some(waker) = self.call_first() {
            wakers.push(waker);
        }
        wakers
    }

    /// Takes the waker of the first in line, who stays there to see for itself.
    pub(crate) fn nudge_first(&mut self) -> Option<Waker> {
        self.seats.get_mut(self.first)?.waker.take()
    }

    /// The waiter parks again after a nudge.
    pub(crate) fn stay(&mut self, ticket: &Ticket) {
        let waker = &mut self.seats[ticket.0].waker;
        debug_assert!(waker.is_none(), "only a nudged waiter has lost its waker");
        *waker = Some(park::current_waker());
    }

    #[inline]
    pub(crate) fn is_called(&self, ticket: &Ticket) -> bool {
        self.seats[ticket.0].is_called
    }

    /// Whether the seat is the first in line.
    #[inline]
    pub(crate) fn is_first(&self, ticket: &Ticket) -> bool {
        self.first == ticket.0
    }

    /// Gives the seat up; once a ticket.
    #[inline]
    pub(crate) fn leave(&mut self, ticket: &Ticket) -> Left<P> {
        let was_first = self.is_first(ticket);
        if !self.seats[ticket.0].is_called {
            self.unlink(ticket.0);
        }
        let seat = self.seats.remove(ticket.0);
        if self.seats.is_empty() && self.seats.capacity() > KEPT {
            self.seats = Slab::new();
        }
        Left {
            payload: seat.payload,
            is_called: seat.is_called,
            was_first,
            _waker: seat.waker,
        }
    }

    #[inline]
    fn unlink(&mut self, seat: usize) {
        let Seat { before, after, .. } = self.seats[seat];
        match before {
            NONE => self.first = after,
            before => self.seats[before].after = after,
        }
        match after {
            NONE => self.last = before,
            after => self.seats[after].before = before,
        }
    }
}

/// Wakers gathered inside a latch, to be woken outside.
#[must_use = "the called wait until they are woken"]
#[derive(Debug)]
pub(crate) struct Wakers {
    /// Most of the time there is one at most: no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakers {
    pub(crate) const fn new() -> Self {
        Wakers {
            first: None,
            more: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.more.push(waker),
        }
    }

    /// Wakes them in the order in which they were called.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        for waker in self.more {
            waker.wake();
        }
    }
}

/// The owner of a wait list, as seen by one that waits in it.
pub(crate) trait Queue {
    /// What a wait ends with.
    type Outcome;

    /// Looks whether the wait is over, as it must be when `is_late`; if so, gives the seat up.
    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Self::Outcome>;

    /// The waiter was cancelled where it cannot unwind: gives the seat up, if it can say so. `None`: waits on.
    fn cancel(&self, _ticket: &Ticket) -> Option<Self::Outcome> {
        None
    }

    /// The waiter unwinds: gives its seat up, and to the next what was given to it.
    fn abandon(&self, ticket: &Ticket);
}

struct Seated<Q: Queue> {
    queue: Q,
    ticket: Ticket,
}

impl<Q: Queue> Drop for Seated<Q> {
    fn drop(&mut self) {
        self.queue.abandon(&self.ticket);
    }
}

/// Parks until the queue says that the wait is over; the seat is given up on every way out.
#[track_caller]
#[inline]
pub(crate) fn wait<Q: Queue>(queue: Q, ticket: Ticket, wait: &Wait<'_>) -> Q::Outcome {
    let seated = Seated { queue, ticket };
    loop {
        if park::must_give_up()
            && let Some(outcome) = seated.queue.cancel(&seated.ticket)
        {
            std::mem::forget(seated);
            return outcome;
        }
        let is_late = park::park(wait) == Wake::TimedOut;
        if let Some(outcome) = seated.queue.settle(&seated.ticket, is_late) {
            // Settled means that the seat is given up.
            std::mem::forget(seated);
            return outcome;
        }
    }
}

impl<P> std::fmt::Debug for WaitList<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitList")
            .field("seats", &self.seats.len())
            .field("is_empty", &self.is_empty())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "wait_list_tests.rs"]
mod tests;
