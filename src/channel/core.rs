//! What the two ends of a channel share: the items, and the two lines of those who wait.
//!
//! All of it lies behind one latch. Invariants, whenever nobody is inside:
//!
//! 1. Items leave in the order in which they came, whoever takes them. (At a rendezvous they do not stay: see 3.)
//! 2. Receivers wait only if every item is promised, no senders wait, and the end has not come.
//! 3. A send that finds a receiver waiting calls it: one more item is *promised*. Which one it gets is
//!    decided when it comes for it; that there is one for it is certain, for nobody else may take the last
//!    `promised` items. A called receiver that is cancelled promises its share to the next in line.
//!    At a *rendezvous* the two have met, and a later comer must not get in between, be it the sender itself: the
//!    item is *handed*, into the receiver's seat. A receiver that is cancelled hands it to the next in line, or
//!    leaves it to whoever comes.
//! 4. Senders wait only if the items not promised fill the capacity, and the channel is open. A sender
//!    waits with its item in its seat. A receive that makes room moves the item of the first of them in, and
//!    calls it: so items keep the order of their sends.
//! 5. The end has come when there are no items, and no senders or the channel was closed. While an item is
//!    promised or handed it has not come: a receiver that was told so would miss it, if it is given up.
//! 6. A called receiver's seat says whether an item was promised, has it, or tells the end. A called sender's
//!    seat is empty, or still holds its item: refused. Whoever leaves a seat takes what is in it.
//!
//! When a promise or an item is given up and nobody waits, there may be more items than the capacity for a while.
//!
//! Among those who wait there may be selects (`arms.rs`), which can be past being called: see the wait list.
//! So it is decided by calling whether anybody waits.
//!
//! Items are moved inside the latch and dropped outside of it: a destructor is the user's code.

use std::collections::VecDeque;
use std::fmt;
use std::mem;

use crate::base::clock::Deadline;
use crate::scheduler::park::{Count, Describe, Sleeper, Wait};
use crate::sync::latch::{Latch, Latched};
use crate::sync::wait_list::{self, Queue, Ticket, WaitList, Wakers};
use crate::task::claim::Claim;

use super::error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError};
use super::error::{TryRecvError, TrySendError};

/// Room that a bounded channel takes at its making; what is beyond it is taken when it is needed.
const EAGER: usize = 64;

pub(super) struct Channel<T> {
    pub(super) state: Latch<State<T>>,
}

pub(super) struct State<T> {
    items: VecDeque<T>,
    /// `usize::MAX` when unbounded, 0 for a rendezvous.
    capacity: usize,
    senders: usize,
    receivers: usize,
    is_closed: bool,
    /// Called receivers that have not come for their items yet; at most `items.len()`.
    promised: usize,
    /// Items in the seats of called receivers that have not come for them yet: at a rendezvous only.
    handed: usize,
    /// How many were ever handed: the next one's number.
    hand_overs: u64,
    /// The numbers of `items` at a rendezvous, where all of them were handed and have come back.
    returned: VecDeque<u64>,
    /// Waiting receivers, and in a called one's seat what it was called for.
    pub(super) takers: WaitList<Share<T>>,
    /// Waiting senders and what they send.
    pub(super) givers: WaitList<Option<T>>,
}

/// What is in the seat of a receiver.
#[derive(Debug)]
pub(super) enum Share<T> {
    /// It waits; or was called because the end has come.
    Nothing,
    /// One of the items is promised to it.
    Promised,
    /// This one was handed to it; hand-overs are numbered in the order of their sends.
    Handed(u64, T),
}

/// The claim of the select that does this, if it is one that others can see.
type Own = Option<&'static Claim>;

/// A side of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sender,
    Receiver,
}

/// What the ends show of a channel.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) len: usize,
    pub(super) capacity: usize,
    /// Nobody will receive, or the channel was closed.
    pub(super) is_closed: bool,
}

impl<T> Channel<T> {
    /// A channel with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> Self {
        let eager = match capacity {
            usize::MAX => 0,
            capacity => capacity.min(EAGER),
        };
        Channel {
            state: Latch::new(State {
                items: VecDeque::with_capacity(eager),
                capacity,
                senders: 1,
                receivers: 1,
                is_closed: false,
                promised: 0,
                handed: 0,
                hand_overs: 0,
                returned: VecDeque::new(),
                takers: WaitList::new(),
                givers: WaitList::new(),
            }),
        }
    }

    pub(super) fn look(&self) -> Look {
        let state = self.state.lock();
        Look {
            len: state.len(),
            capacity: state.capacity,
            is_closed: !state.is_open(),
        }
    }

    /// One more of a side.
    pub(super) fn enter(&self, side: Side) {
        *self.state.lock().count(side) += 1;
    }

    /// One fewer of a side; the last one's leaving ends the channel.
    pub(super) fn leave(&self, side: Side) {
        let mut state = self.state.lock();
        let count = state.count(side);
        *count -= 1;
        if *count > 0 {
            return;
        }
        match side {
            Side::Sender => {
                let wakers = state.end();
                drop(state);
                wakers.wake();
            }
            Side::Receiver => {
                let wakers = state.givers.call_all();
                let items = mem::take(&mut state.items);
                state.returned.clear();
                drop(state);
                wakers.wake();
                drop(items);
            }
        }
    }

    /// False when it was closed already.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state.lock();
        let was_closed = mem::replace(&mut state.is_closed, true);
        let takers = state.end();
        let givers = state.givers.call_all();
        drop(state);
        takers.wake();
        givers.wake();
        !was_closed
    }

    #[inline]
    pub(super) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut state = self.state.lock();
        let sent = state.try_send(item, None);
        drop(state);
        wake(sent?);
        Ok(())
    }

    #[track_caller]
    #[inline(always)]
    pub(super) fn send(&self, item: T, deadline: Deadline) -> Result<(), SendTimeoutError<T>> {
        let mut state = self.state.lock();
        match state.try_send(item, None) {
            Ok(waker) => {
                drop(state);
                wake(waker);
                Ok(())
            }
            Err(TrySendError::Full(item)) => self.send_waiting(state, item, deadline),
            Err(TrySendError::Disconnected(item)) => Err(SendTimeoutError::Disconnected(item)),
        }
    }

    #[track_caller]
    #[inline(always)]
    fn send_waiting(
        &self,
        mut state: Latched<'_, State<T>>,
        item: T,
        deadline: Deadline,
    ) -> Result<(), SendTimeoutError<T>> {
        let ticket = state.givers.join(Some(item));
        drop(state);
        let wait = Wait::new("channel.send").on(self).until(deadline);
        wait_list::wait(Giver(self), ticket, &wait)
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.state.lock();
        let received = state.try_recv(None);
        drop(state);
        let (item, waker) = received?;
        wake(waker);
        Ok(item)
    }

    #[track_caller]
    #[inline(always)]
    pub(super) fn recv(&self, deadline: Deadline) -> Result<T, RecvTimeoutError> {
        let mut state = self.state.lock();
        match state.try_recv(None) {
            Ok((item, waker)) => {
                drop(state);
                wake(waker);
                Ok(item)
            }
            Err(TryRecvError::Empty) => self.recv_waiting(state, deadline),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
        }
    }

    #[track_caller]
    #[inline(always)]
    fn recv_waiting(
        &self,
        mut state: Latched<'_, State<T>>,
        deadline: Deadline,
    ) -> Result<T, RecvTimeoutError> {
        let ticket = state.takers.join(Share::Nothing);
        drop(state);
        let wait = Wait::new("channel.recv").on(self).until(deadline);
        wait_list::wait(Taker(self), ticket, &wait)
    }
}

#[inline]
pub(super) fn wake(waker: Option<Sleeper>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> State<T> {
    fn count(&mut self, side: Side) -> &mut usize {
        match side {
            Side::Sender => &mut self.senders,
            Side::Receiver => &mut self.receivers,
        }
    }

    fn is_open(&self) -> bool {
        self.receivers > 0 && !self.is_closed
    }

    /// Sends if that is possible at once; returns the waker of the receiver that has the item now.
    ///
    /// `own`, here and below, is the claim of a select that is busy with this: it does not meet itself.
    #[inline]
    pub(super) fn try_send(
        &mut self,
        item: T,
        own: Own,
    ) -> Result<Option<Sleeper>, TrySendError<T>> {
        if !self.is_open() {
            return Err(TrySendError::Disconnected(item));
        }
        let item = match self.takers.is_empty() {
            true => item,
            false => match self.serve(item, own) {
                Ok(waker) => return Ok(Some(waker)),
                Err(item) => item,
            },
        };
        if self.len() >= self.capacity {
            return Err(TrySendError::Full(item));
        }
        self.items.push_back(item);
        Ok(None)
    }

    /// Receives if that is possible at once; returns the waker of the sender whose item has moved up.
    #[inline]
    pub(super) fn try_recv(&mut self, own: Own) -> Result<(T, Option<Sleeper>), TryRecvError> {
        if self.len() == 0 {
            return self.try_recv_directly(own);
        }
        let item = self.items.pop_front().ok_or(TryRecvError::Empty)?;
        if self.capacity == 0 {
            self.returned.pop_front();
        }
        let waker = if self.givers.is_empty() {
            None
        } else {
            self.refill(own)
        };
        Ok((item, waker))
    }

    /// No items to be had; yet senders may wait: a rendezvous.
    fn try_recv_directly(&mut self, own: Own) -> Result<(T, Option<Sleeper>), TryRecvError> {
        if !self.givers.is_empty()
            && let (Some(item), waker) = self.take_from_first(own)
        {
            return Ok((item, waker));
        }
        Err(match self.is_ended() {
            true => TryRecvError::Disconnected,
            false => TryRecvError::Empty,
        })
    }

    /// How many items are promised to nobody.
    #[inline]
    fn len(&self) -> usize {
        self.items.len() - self.promised
    }

    /// Whether nothing will ever come.
    #[inline]
    fn is_ended(&self) -> bool {
        (self.senders == 0 || self.is_closed) && self.items.is_empty() && self.handed == 0
    }

    /// Tells the receivers that wait, if the end has come.
    fn end(&mut self) -> Wakers {
        if self.is_ended() {
            self.takers.call_all()
        } else {
            Wakers::new()
        }
    }

    /// Calls the first receiver in line for an item; gives that back if none is there.
    #[inline]
    fn serve(&mut self, item: T, own: Own) -> Result<Sleeper, T> {
        if self.capacity == 0 {
            self.hand_overs += 1;
            return self.hand(self.hand_overs, item, own);
        }
        match self.promise(own) {
            Some(waker) => {
                self.items.push_back(item);
                Ok(waker)
            }
            None => Err(item),
        }
    }

    /// Hands an item to the first receiver in line.
    #[inline(never)]
    fn hand(&mut self, number: u64, item: T, own: Own) -> Result<Sleeper, T> {
        let mut item = Some(item);
        let waker = self.takers.call_other(own, |seat| {
            if let Some(item) = item.take() {
                *seat = Share::Handed(number, item);
            }
        });
        match (waker, item) {
            (Some(waker), _) => {
                self.handed += 1;
                Ok(waker)
            }
            (None, Some(item)) => Err(item),
            (None, None) => unreachable!("it goes away by a call alone"),
        }
    }

    /// A receiver will not take what was handed to it: the next in line shall, or whoever comes.
    #[cold]
    fn take_back(&mut self, number: u64, item: T) -> Option<Sleeper> {
        self.handed -= 1;
        let item = match self.hand(number, item, None) {
            Ok(waker) => return Some(waker),
            Err(item) => item,
        };
        // In the order of the sends; those who give up may do so in another.
        let place = self.returned.partition_point(|&other| other < number);
        self.returned.insert(place, number);
        self.items.insert(place, item);
        None
    }

    /// Promises an item, which is there or is about to be, to the first receiver in line.
    #[inline]
    fn promise(&mut self, own: Own) -> Option<Sleeper> {
        let waker = self
            .takers
            .call_other(own, |seat| *seat = Share::Promised)?;
        self.promised += 1;
        Some(waker)
    }

    /// A receiver comes for the item that was promised to it.
    #[inline]
    fn redeem(&mut self) -> T {
        self.promised -= 1;
        let item = self.items.pop_front();
        item.expect("a promised item is there: invariant 3")
    }

    /// A receiver will not come for what was promised to it: the next in line shall.
    fn give_up(&mut self) -> Option<Sleeper> {
        self.promised -= 1;
        self.promise(None)
    }

    /// There may be room: the first sender in line moves its item in.
    fn refill(&mut self, own: Own) -> Option<Sleeper> {
        if self.len() >= self.capacity {
            return None;
        }
        let (item, waker) = self.take_from_first(own);
        self.items.extend(item);
        waker
    }

    /// The item of the first sender in line, who is called.
    #[inline]
    fn take_from_first(&mut self, own: Own) -> (Option<T>, Option<Sleeper>) {
        let mut item = None;
        let waker = self.givers.call_other(own, |seat| item = seat.take());
        (item, waker)
    }
}

/// A channel as its waiting receivers see it.
pub(super) struct Taker<'a, T>(pub(super) &'a Channel<T>);

impl<T> Queue for Taker<'_, T> {
    type Outcome = Result<T, RecvTimeoutError>;

    #[inline]
    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Self::Outcome> {
        let mut state = self.0.state.lock();
        if !state.takers.is_called(ticket) && !is_late {
            return None;
        }
        let left = state.takers.leave(ticket);
        let item = match left.payload {
            Share::Promised => state.redeem(),
            Share::Handed(_, item) => {
                state.handed -= 1;
                item
            }
            Share::Nothing => {
                return Some(Err(match left.is_called {
                    true => RecvTimeoutError::Disconnected,
                    false => RecvTimeoutError::Timeout,
                }));
            }
        };
        if !state.takers.is_empty() {
            let wakers = state.end();
            drop(state);
            wakers.wake();
        }
        Some(Ok(item))
    }

    fn cancel(&self, ticket: &Ticket) -> Option<Self::Outcome> {
        // As at a deadline: what was promised to it meanwhile it takes. Else the end has come, for it.
        let outcome = self.settle(ticket, true)?;
        Some(outcome.map_err(|_| RecvTimeoutError::Disconnected))
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.0.state.lock();
        let waker = match state.takers.leave(ticket).payload {
            Share::Nothing => None,
            Share::Promised => state.give_up(),
            Share::Handed(number, item) => state.take_back(number, item),
        };
        drop(state);
        wake(waker);
    }
}

/// A channel as its waiting senders see it.
pub(super) struct Giver<'a, T>(pub(super) &'a Channel<T>);

impl<T> Queue for Giver<'_, T> {
    type Outcome = Result<(), SendTimeoutError<T>>;

    #[inline]
    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Self::Outcome> {
        let mut state = self.0.state.lock();
        if !state.givers.is_called(ticket) && !is_late {
            return None;
        }
        let left = state.givers.leave(ticket);
        Some(match left.payload {
            None => Ok(()),
            Some(item) if left.is_called => Err(SendTimeoutError::Disconnected(item)),
            Some(item) => Err(SendTimeoutError::Timeout(item)),
        })
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.0.state.lock();
        let left = state.givers.leave(ticket);
        drop(state);
        // The item, if nobody has taken it, is dropped with the cancelled sender's frame.
        drop(left);
    }
}

impl<T> Describe for Channel<T> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written outside of the latch: the formatter may be anybody's.
        let Look { len, capacity, .. } = self.look();
        let (senders, receivers) = {
            let state = self.state.lock();
            (state.senders, state.receivers)
        };
        match capacity {
            usize::MAX => write!(f, "an unbounded channel")?,
            0 => write!(f, "a rendezvous channel")?,
            capacity => write!(f, "a bounded channel ({len} of {capacity} places taken)")?,
        }
        let senders = Count(senders, "sender");
        write!(f, " with {senders} and {}", Count(receivers, "receiver"))
    }
}

// The two that cannot time out.

/// The error of a send without a deadline.
pub(super) fn never_late<T>(error: SendTimeoutError<T>) -> SendError<T> {
    SendError(error.into_inner())
}

/// The error of a receive without a deadline.
pub(super) fn ended(_: RecvTimeoutError) -> RecvError {
    RecvError
}
