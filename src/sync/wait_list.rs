//! A fair line of waiters: first come, first called; whoever leaves early loses nothing that was meant for others.
//!
//! A `WaitList` is plain data. It lives inside its owner's latch, next to what is waited for (permits, a
//! queue of items), so that "nothing is there, so I join the line" is one step that no giver can miss:
//!
//! ```text
//!   waiter                                   giver
//!   latch: nothing there -> join             latch: put it into the first seat, `call_first`
//!   unlatch, park                            unlatch, wake the sleeper that `call_first` gave
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
//! A select stands in several lines at once, with a [`Stake`] in each of its seats. Whoever would call such
//! a seat must win the select's claim first; if somebody else has, the seat is passed over: out of the
//! line, uncalled, until its select comes to leave it. So "somebody stands in line" is no promise that a
//! call finds somebody: who calls looks at what `call_first` gives.
//!
//! Sleepers are taken out inside the latch and woken outside of it: see [`Wakers`]. A wake that finds its
//! waiter gone is a no-op, by `scheduler::park`'s contract.

use crate::scheduler::park::{self, Sleeper, Wait, Wake};
use crate::task::claim::{Claim, Stake, Win};

/// No seat.
const NONE: u32 = u32::MAX;

/// Room for more seats than this on the heap is given back when all are free.
const KEPT: usize = 64;

/// Where a waiter is on its way through the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nobody sits here.
    Free,
    InLine,
    Called,
    /// Out of the line without a call: its select has been won elsewhere.
    PassedOver,
}

/// Filled and emptied field by field: a seat moved as a whole would be read right after it was written in
/// parts, which the processor must wait for.
struct Seat<P> {
    /// Taken by whoever wakes; nobody then.
    sleeper: Sleeper,
    /// `None` in a free seat.
    payload: Option<P>,
    /// `None` for one who waits for this alone.
    stake: Option<Stake>,
    /// Neighbours in the line; `NONE` at its ends. In a free seat `after` is the next free one. Else they
    /// mean nothing.
    before: u32,
    after: u32,
    place: Place,
}

/// The line, and the seats of those out of it but not back yet.
pub(crate) struct WaitList<P> {
    /// The seat with the number 0, here and not on the heap: most lines have one waiter at most.
    one: Seat<P>,
    /// The seats from 1 on. Allocates at the first wait of a second waiter; a line that is used again and
    /// again does not allocate.
    more: Option<Box<More<P>>>,
    first: u32,
    last: u32,
}

struct More<P> {
    seats: Vec<Seat<P>>,
    /// The first free one, by its number in the line.
    free: u32,
    taken: usize,
}

impl<P> Seat<P> {
    const fn free(after: u32) -> Self {
        Seat {
            sleeper: Sleeper::NOBODY,
            payload: None,
            stake: None,
            before: NONE,
            after,
            place: Place::Free,
        }
    }
}

/// A waiter's claim to its seat, from `join` to `leave`.
#[derive(Debug)]
pub(crate) struct Ticket(u32);

/// What a waiter takes with it.
#[must_use]
#[derive(Debug)]
pub(crate) struct Left<P> {
    pub(crate) payload: P,
    pub(crate) is_called: bool,
    /// It stood first in line, uncalled: what kept it waiting may be no obstacle to the next.
    pub(crate) was_first: bool,
}

impl<P> WaitList<P> {
    pub(crate) const fn new() -> Self {
        WaitList {
            one: Seat::free(NONE),
            more: None,
            first: NONE,
            last: NONE,
        }
    }

    /// Whether nobody stands in line. Somebody who does may be past being called, where selects wait.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    #[inline]
    fn get(&self, seat: u32) -> &Seat<P> {
        match seat {
            0 => &self.one,
            other => {
                let more = self.more.as_ref().expect("it has been sat on");
                &more.seats[other as usize - 1]
            }
        }
    }

    #[inline]
    fn seat(&mut self, seat: u32) -> &mut Seat<P> {
        match seat {
            0 => &mut self.one,
            other => {
                let more = self.more.as_mut().expect("it has been sat on");
                &mut more.seats[other as usize - 1]
            }
        }
    }

    /// Takes a seat at the end of the line for the running task or thread.
    #[inline]
    pub(crate) fn join(&mut self, payload: P) -> Ticket {
        self.sit(park::sleeper(), payload, None)
    }

    /// As [`join`](Self::join), for a waiter that is no task and no thread.
    pub(crate) fn join_with(&mut self, sleeper: Sleeper, payload: P) -> Ticket {
        self.sit(sleeper, payload, None)
    }

    /// As [`join`](Self::join), for an arm of a select.
    pub(crate) fn join_as(&mut self, stake: Stake, payload: P) -> Ticket {
        self.sit(park::sleeper(), payload, Some(stake))
    }

    #[inline]
    fn sit(&mut self, sleeper: Sleeper, payload: P, stake: Option<Stake>) -> Ticket {
        let number = match self.one.place {
            Place::Free => 0,
            _ => self.find_free(),
        };
        let before = self.last;
        let seat = self.seat(number);
        seat.sleeper = sleeper;
        seat.payload = Some(payload);
        seat.stake = stake;
        seat.before = before;
        seat.after = NONE;
        seat.place = Place::InLine;
        match before {
            NONE => self.first = number,
            last => self.seat(last).after = number,
        }
        self.last = number;
        Ticket(number)
    }

    fn find_free(&mut self) -> u32 {
        let more = self.more.get_or_insert_with(|| {
            Box::new(More {
                seats: Vec::new(),
                free: NONE,
                taken: 0,
            })
        });
        more.taken += 1;
        if more.free == NONE {
            more.seats.push(Seat::free(NONE));
            return u32::try_from(more.seats.len()).expect("fewer waiters than 2^32");
        }
        let number = more.free;
        more.free = more.seats[number as usize - 1].after;
        number
    }

    /// What the first in line has brought.
    #[inline]
    pub(crate) fn first(&mut self) -> Option<&mut P> {
        match self.first {
            NONE => None,
            first => self.seat(first).payload.as_mut(),
        }
    }

    /// Calls the first in line, out of it; returns whom to wake.
    #[inline]
    pub(crate) fn call_first(&mut self) -> Option<Sleeper> {
        self.call_first_with(|_| ())
    }

    /// As [`call_first`](Self::call_first), for a caller that brings or fetches something.
    #[inline]
    pub(crate) fn call_first_with(&mut self, exchange: impl FnOnce(&mut P)) -> Option<Sleeper> {
        self.call_other(None, exchange)
    }

    /// As [`call_first_with`](Self::call_first_with), for a select, which passes its own seats over.
    #[inline]
    pub(crate) fn call_other(
        &mut self,
        own: Option<&'static Claim>,
        exchange: impl FnOnce(&mut P),
    ) -> Option<Sleeper> {
        let first = self.first;
        if first == NONE {
            return None;
        }
        let number = match self.seat(first).stake {
            None => first,
            Some(_) => self.win_some(own)?,
        };
        let seat = self.seat(number);
        if let Some(payload) = &mut seat.payload {
            exchange(payload);
        }
        seat.place = Place::Called;
        // One that was nudged before is on its way, and will see the call: nobody is to be woken.
        let sleeper = seat.sleeper.take();
        self.unlink(number);
        Some(sleeper)
    }

    /// The first in line that is not a select, or a select that is won by this call.
    #[cold]
    fn win_some(&mut self, own: Option<&'static Claim>) -> Option<u32> {
        let mut next = self.first;
        while next != NONE {
            let number = next;
            let seat = self.seat(number);
            next = seat.after;
            let Some(stake) = seat.stake else {
                return Some(number);
            };
            if own.is_some_and(|own| std::ptr::eq(own, stake.claim())) {
                continue;
            }
            match stake.win() {
                Win::Won => return Some(number),
                Win::Lost => {
                    seat.place = Place::PassedOver;
                    self.unlink(number);
                }
            }
        }
        None
    }

    /// Calls everybody.
    pub(crate) fn call_all(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        while let Some(sleeper) = self.call_first() {
            wakers.push(sleeper);
        }
        wakers
    }

    /// Wakes the first in line, who stays there, to see for itself.
    pub(crate) fn nudge_first(&mut self) -> Option<Sleeper> {
        match self.first {
            NONE => None,
            first => Some(self.seat(first).sleeper.take()),
        }
    }

    /// The waiter parks again after a nudge.
    pub(crate) fn stay(&mut self, ticket: &Ticket) {
        self.seat(ticket.0).sleeper = park::sleeper();
    }

    #[inline]
    pub(crate) fn is_called(&self, ticket: &Ticket) -> bool {
        self.get(ticket.0).place == Place::Called
    }

    /// Whether the seat is the first in line.
    #[inline]
    pub(crate) fn is_first(&self, ticket: &Ticket) -> bool {
        self.first == ticket.0
    }

    /// Gives the seat up; once a ticket.
    #[inline]
    pub(crate) fn leave(&mut self, ticket: &Ticket) -> Left<P> {
        let number = ticket.0;
        let was_first = self.first == number;
        if self.seat(number).place == Place::InLine {
            self.unlink(number);
        }
        let seat = self.seat(number);
        // The waiter's own, if it is there still: a plain thread's is a count that goes down.
        let _own = seat.sleeper.take();
        let payload = seat.payload.take().expect("the seat is the caller's");
        let is_called = seat.place == Place::Called;
        seat.place = Place::Free;
        if number != 0 {
            self.give_back(number);
        }
        Left {
            payload,
            is_called,
            was_first,
        }
    }

    fn give_back(&mut self, number: u32) {
        let Some(more) = &mut self.more else { return };
        more.seats[number as usize - 1].after = more.free;
        more.free = number;
        more.taken -= 1;
        if more.taken == 0 && more.seats.len() > KEPT {
            self.more = None;
        }
    }

    #[inline]
    fn unlink(&mut self, number: u32) {
        if self.first == self.last {
            // Nobody else stands there.
            (self.first, self.last) = (NONE, NONE);
            return;
        }
        let Seat { before, after, .. } = *self.seat(number);
        match before {
            NONE => self.first = after,
            before => self.seat(before).after = after,
        }
        match after {
            NONE => self.last = before,
            after => self.seat(after).before = before,
        }
    }
}

/// Sleepers gathered inside a latch, to be woken outside.
#[must_use = "the called wait until they are woken"]
#[derive(Debug)]
pub(crate) struct Wakers {
    /// Most of the time there is one at most: no allocation.
    first: Option<Sleeper>,
    more: Vec<Sleeper>,
}

impl Wakers {
    pub(crate) const fn new() -> Self {
        Wakers {
            first: None,
            more: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, sleeper: Sleeper) {
        match self.first {
            None => self.first = Some(sleeper),
            Some(_) => self.more.push(sleeper),
        }
    }

    /// Wakes them in the order in which they were called.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(sleeper) = self.first {
            sleeper.wake();
        }
        for sleeper in self.more {
            sleeper.wake();
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
#[inline(always)]
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
        let more = self.more.as_ref().map_or(0, |more| more.taken);
        f.debug_struct("WaitList")
            .field(
                "seats",
                &(more + usize::from(self.one.place != Place::Free)),
            )
            .field("is_empty", &self.is_empty())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "wait_list_tests.rs"]
mod tests;
