//! What all handles of a queue share: the items, their account, and the lines of those who wait.
//!
//! All but the sorting of a [`heap`](super::heap) lies behind one latch. Invariants, whenever nobody is inside:
//!
//! 1. Getters wait only if every item is promised, and the end has not come.
//! 2. Who takes an item is *promised* one first: a getter that waits is, when it is called, and one that finds
//!    an item that is promised to nobody promises it to itself. Which item that is, is decided when it comes
//!    for it; that there is one is certain, for there are never more promises than items. A promise that is
//!    given up, because its getter is cancelled or a comparison panics, goes to the next in line.
//! 3. Putters wait only if there is no room, and the queue is open. There is room if the items that are promised
//!    to nobody are less than the capacity, where those count as well that are still being *chosen* by one that
//!    has not waited. A putter waits with its item in its seat; where there is room, the item of the
//!    first of them is moved in, and it is called.
//! 4. The end has come when the queue was shut down and has no items. While one is promised it has not come: a
//!    getter that was told so would miss it, if it is given up.
//! 5. A shutdown at once takes all items back, also those that are promised, and with them the promises:
//!    whoever comes for one is told the end.
//! 6. A called putter's seat is empty, or still holds its item: refused. Whoever leaves takes what is in it.
//! 7. `unfinished` is how many items have come in, less those done and those taken back at a shutdown.
//!
//! When a promise is given up and nobody waits, there may be more items than the capacity for a while.
//!
//! Items are moved inside the latch, but dropped and compared outside: both is the user's code.

use std::fmt;
use std::mem;

use crate::base::clock::Deadline;
use crate::scheduler::park::{Describe, Wait};
use crate::sync::latch::{Latch, Latched};
use crate::sync::wait_list::{self, Queue as Line, Ticket, WaitList, Wakers};

use super::error::{GetTimeoutError, PutTimeoutError, TryGetError, TryPutError};
use super::joinable::TaskDoneError;
use super::order::Order;

pub(super) struct Core<T, O: Order<T>> {
    state: Latch<State<T, O>>,
    order: O,
}

struct State<T, O: Order<T>> {
    store: O::Store,
    /// How many items there are, those included that are being chosen outside.
    items: usize,
    /// Of these, how many are promised.
    promised: usize,
    /// Of these, how many are being chosen by getters that had not to wait: their places are not free yet.
    choosing: usize,
    /// `usize::MAX` when unbounded; never 0.
    capacity: usize,
    unfinished: usize,
    is_shut: bool,
    /// Shut down at once: nothing is inside any more, whatever `order` still holds.
    is_cleared: bool,
    /// Waiting getters. True in a called one's seat: an item is promised to it.
    getters: WaitList<bool>,
    /// Waiting putters and what they put.
    putters: WaitList<Option<T>>,
    /// Those who wait until all is done.
    joiners: WaitList<()>,
    /// Those who wait until a get would not have to.
    watchers: WaitList<()>,
}

/// What the handles show of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) len: usize,
    /// How many places are not free.
    pub(super) taken: usize,
    pub(super) capacity: usize,
    pub(super) unfinished: usize,
    pub(super) is_shut: bool,
}

impl<T, O: Order<T>> Core<T, O> {
    pub(super) fn new(capacity: usize) -> Self {
        Core {
            state: Latch::new(State {
                store: O::Store::default(),
                items: 0,
                promised: 0,
                choosing: 0,
                capacity,
                unfinished: 0,
                is_shut: false,
                is_cleared: false,
                getters: WaitList::new(),
                putters: WaitList::new(),
                joiners: WaitList::new(),
                watchers: WaitList::new(),
            }),
            order: O::default(),
        }
    }

    pub(super) fn look(&self) -> Look {
        let state = self.state.lock();
        Look {
            len: state.len(),
            taken: state.len() + state.choosing,
            capacity: state.capacity,
            unfinished: state.unfinished,
            is_shut: state.is_shut,
        }
    }

    #[inline]
    pub(super) fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        let mut state = self.state.lock();
        let put = state.try_put(item);
        drop(state);
        put?.wake();
        Ok(())
    }

    #[track_caller]
    #[inline]
    pub(super) fn put(&self, item: T, deadline: Deadline) -> Result<(), PutTimeoutError<T>> {
        let mut state = self.state.lock();
        match state.try_put(item) {
            Ok(wakers) => {
                drop(state);
                wakers.wake();
                Ok(())
            }
            Err(TryPutError::Full(item)) => self.put_waiting(state, item, deadline),
            Err(TryPutError::ShutDown(item)) => Err(PutTimeoutError::ShutDown(item)),
        }
    }

    #[cold]
    #[track_caller]
    fn put_waiting(
        &self,
        mut state: Latched<'_, State<T, O>>,
        item: T,
        deadline: Deadline,
    ) -> Result<(), PutTimeoutError<T>> {
        let ticket = state.putters.join(Some(item));
        drop(state);
        let wait = Wait::new("queue.put").on(self).until(deadline);
        wait_list::wait(Putter(self), ticket, &wait)
    }

    #[track_caller]
    #[inline]
    pub(super) fn try_get(&self) -> Result<T, TryGetError> {
        let state = self.state.lock();
        if state.len() == 0 {
            return Err(match state.is_ended() {
                true => TryGetError::ShutDown,
                false => TryGetError::Empty,
            });
        }
        self.take(state).ok_or(TryGetError::ShutDown)
    }

    #[track_caller]
    #[inline]
    pub(super) fn get(&self, deadline: Deadline) -> Result<T, GetTimeoutError> {
        let state = self.state.lock();
        if state.len() > 0 {
            return self.take(state).ok_or(GetTimeoutError::ShutDown);
        }
        if state.is_ended() {
            return Err(GetTimeoutError::ShutDown);
        }
        self.get_waiting(state, deadline)
    }

    #[cold]
    #[track_caller]
    fn get_waiting(
        &self,
        mut state: Latched<'_, State<T, O>>,
        deadline: Deadline,
    ) -> Result<T, GetTimeoutError> {
        let ticket = state.getters.join(false);
        drop(state);
        let wait = Wait::new("queue.get").on(self).until(deadline);
        match wait_list::wait(Getter(self), ticket, &wait) {
            Turn::Item(item) => Ok(item),
            Turn::Promise => self.choose(0).ok_or(GetTimeoutError::ShutDown),
            Turn::End => Err(GetTimeoutError::ShutDown),
            Turn::Late => Err(GetTimeoutError::Timeout),
        }
    }

    /// Takes an item that is promised to nobody; there is one. `None`: it was taken back meanwhile.
    #[track_caller]
    #[inline]
    fn take(&self, mut state: Latched<'_, State<T, O>>) -> Option<T> {
        state.promised += 1;
        let Some(item) = state.redeem() else {
            state.choosing += 1;
            drop(state);
            return self.choose(1);
        };
        let wakers = state.serve();
        drop(state);
        wakers.wake();
        Some(item)
    }

    /// Comes for a promised item where it must be chosen, outside of the latch; as [`take`](Self::take).
    ///
    /// `choosing` is its part in the field of this name.
    #[track_caller]
    fn choose(&self, choosing: usize) -> Option<T> {
        let promise = Promise {
            core: self,
            choosing,
        };
        let item = self.order.choose(|store| {
            let mut state = self.state.lock();
            mem::swap(&mut state.store, store);
            !state.is_cleared
        })?;
        mem::forget(promise);
        let mut state = self.state.lock();
        if state.is_cleared {
            drop(state);
            drop(item);
            self.order.clear();
            return None;
        }
        state.items -= 1;
        state.promised -= 1;
        state.choosing -= choosing;
        let wakers = state.serve();
        drop(state);
        wakers.wake();
        Some(item)
    }

    /// Waits until a get would not have to; false when the deadline passed before.
    #[track_caller]
    pub(super) fn watch(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        if state.is_ready() {
            return true;
        }
        let ticket = state.watchers.join(());
        drop(state);
        let wait = Wait::new("queue.poll").on(self).until(deadline);
        wait_list::wait(Watcher(self), ticket, &wait)
    }

    /// Whether a get would not have to wait.
    pub(super) fn is_ready(&self) -> bool {
        self.state.lock().is_ready()
    }

    pub(super) fn task_done(&self) -> Result<(), TaskDoneError> {
        let mut state = self.state.lock();
        state.unfinished = state.unfinished.checked_sub(1).ok_or(TaskDoneError(()))?;
        let wakers = state.all_done();
        drop(state);
        wakers.wake();
        Ok(())
    }

    /// False when the deadline passed before all was done.
    #[track_caller]
    pub(super) fn join(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        if state.unfinished == 0 {
            return true;
        }
        let ticket = state.joiners.join(());
        drop(state);
        let wait = Wait::new("queue.join").on(self).until(deadline);
        wait_list::wait(Joiner(self), ticket, &wait)
    }

    pub(super) fn shut_down(&self, immediate: bool) {
        let mut state = self.state.lock();
        state.is_shut = true;
        let refused = state.putters.call_all();
        let mut store = O::Store::default();
        let mut done = Wakers::new();
        if immediate {
            state.is_cleared = true;
            mem::swap(&mut state.store, &mut store);
            let items = mem::take(&mut state.items);
            state.promised = 0;
            state.choosing = 0;
            state.unfinished = state.unfinished.saturating_sub(items);
            done = state.all_done();
        }
        let ended = state.serve();
        drop(state);
        refused.wake();
        ended.wake();
        done.wake();
        drop(store);
        if immediate {
            self.order.clear();
        }
    }
}

impl<T, O: Order<T>> State<T, O> {
    /// Puts if that is possible at once; returns whom to wake.
    #[inline]
    fn try_put(&mut self, item: T) -> Result<Wakers, TryPutError<T>> {
        if self.is_shut {
            return Err(TryPutError::ShutDown(item));
        }
        if !self.has_room() {
            return Err(TryPutError::Full(item));
        }
        self.insert(item);
        Ok(self.serve())
    }

    #[inline]
    fn insert(&mut self, item: T) {
        O::push(&mut self.store, item);
        self.items += 1;
        self.unfinished += 1;
    }

    /// How many items are promised to nobody.
    #[inline]
    fn len(&self) -> usize {
        self.items - self.promised
    }

    /// Whether an item may come in. Then no putter waits: invariant 3.
    #[inline]
    fn has_room(&self) -> bool {
        self.len() + self.choosing < self.capacity
    }

    /// Whether nothing will ever come.
    #[inline]
    fn is_ended(&self) -> bool {
        self.is_shut && self.items == 0
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.len() > 0 || self.is_ended()
    }

    /// Brings the invariants about after items, promises or places have changed; returns whom to wake.
    #[inline]
    fn serve(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        if self.getters.is_empty() && self.putters.is_empty() && self.watchers.is_empty() {
            return wakers;
        }
        self.serve_lines(&mut wakers);
        wakers
    }

    fn serve_lines(&mut self, wakers: &mut Wakers) {
        while self.promise_one(wakers) || self.move_one_in(wakers) {}
        if self.is_ended() {
            while let Some(waker) = self.getters.call_first() {
                wakers.push(waker);
            }
        }
        if self.is_ready() {
            while let Some(waker) = self.watchers.call_first() {
                wakers.push(waker);
            }
        }
    }

    /// Promises an item that is promised to nobody to the first getter in line.
    fn promise_one(&mut self, wakers: &mut Wakers) -> bool {
        if self.len() == 0 {
            return false;
        }
        let waker = self
            .getters
            .call_first_with(|is_promised| *is_promised = true);
        let Some(waker) = waker else {
            return false;
        };
        self.promised += 1;
        wakers.push(waker);
        true
    }

    /// Moves the item of the first putter in line in, if there is room.
    fn move_one_in(&mut self, wakers: &mut Wakers) -> bool {
        if !self.has_room() {
            return false;
        }
        let mut item = None;
        let waker = self
            .putters
            .call_first_with(|seat| mem::swap(seat, &mut item));
        let (Some(waker), Some(item)) = (waker, item) else {
            return false;
        };
        self.insert(item);
        wakers.push(waker);
        true
    }

    /// A getter comes for what was promised to it. `None`: it must be chosen.
    #[inline]
    fn redeem(&mut self) -> Option<T> {
        let item = O::pop(&mut self.store)?;
        self.items -= 1;
        self.promised -= 1;
        Some(item)
    }

    /// A getter will not come for what was promised to it: the next in line shall.
    fn give_up(&mut self, choosing: usize) -> Wakers {
        // Else the promise was taken back with its item.
        if !self.is_cleared {
            self.promised -= 1;
            self.choosing -= choosing;
        }
        self.serve()
    }

    /// Calls those who wait for it, if all is done.
    fn all_done(&mut self) -> Wakers {
        match self.unfinished {
            0 => self.joiners.call_all(),
            _ => Wakers::new(),
        }
    }
}

/// An item that was promised to whoever holds this; given up on every way but the good one.
struct Promise<'a, T, O: Order<T>> {
    core: &'a Core<T, O>,
    choosing: usize,
}

impl<T, O: Order<T>> Drop for Promise<'_, T, O> {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        let is_cleared = state.is_cleared;
        let wakers = state.give_up(self.choosing);
        drop(state);
        wakers.wake();
        if is_cleared {
            self.core.order.clear();
        }
    }
}

/// How a getter's wait ends.
enum Turn<T> {
    Item(T),
    /// An item is promised to it, which must be chosen.
    Promise,
    End,
    Late,
}

/// A queue as its waiting getters see it.
struct Getter<'a, T, O: Order<T>>(&'a Core<T, O>);

impl<T, O: Order<T>> Line for Getter<'_, T, O> {
    type Outcome = Turn<T>;

    #[inline]
    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Turn<T>> {
        let mut state = self.0.state.lock();
        if !state.getters.is_called(ticket) && !is_late {
            return None;
        }
        let left = state.getters.leave(ticket);
        if !left.is_called {
            return Some(Turn::Late);
        }
        // A promise of before a shutdown at once is void.
        if !left.payload || state.is_cleared {
            return Some(Turn::End);
        }
        let Some(item) = state.redeem() else {
            return Some(Turn::Promise);
        };
        let wakers = state.serve();
        drop(state);
        wakers.wake();
        Some(Turn::Item(item))
    }

    fn cancel(&self, ticket: &Ticket) -> Option<Turn<T>> {
        // As at a deadline: what was promised to it meanwhile it takes. Else the end has come, for it.
        match self.settle(ticket, true)? {
            Turn::Late => Some(Turn::End),
            turn => Some(turn),
        }
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.0.state.lock();
        let left = state.getters.leave(ticket);
        if left.payload {
            let wakers = state.give_up(0);
            drop(state);
            wakers.wake();
        }
    }
}

/// A queue as its waiting putters see it.
struct Putter<'a, T, O: Order<T>>(&'a Core<T, O>);

impl<T, O: Order<T>> Line for Putter<'_, T, O> {
    type Outcome = Result<(), PutTimeoutError<T>>;

    #[inline]
    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Self::Outcome> {
        let mut state = self.0.state.lock();
        if !state.putters.is_called(ticket) && !is_late {
            return None;
        }
        let left = state.putters.leave(ticket);
        Some(match left.payload {
            None => Ok(()),
            Some(item) if left.is_called => Err(PutTimeoutError::ShutDown(item)),
            Some(item) => Err(PutTimeoutError::Timeout(item)),
        })
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.0.state.lock();
        let left = state.putters.leave(ticket);
        drop(state);
        // The item, if nobody has taken it in, is dropped with the cancelled putter's frame.
        drop(left);
    }
}

/// A line of waiters that are called and given nothing.
macro_rules! plain_line {
    ($Who:ident, $line:ident) => {
        struct $Who<'a, T, O: Order<T>>(&'a Core<T, O>);

        impl<T, O: Order<T>> Line for $Who<'_, T, O> {
            /// Whether it was called.
            type Outcome = bool;

            fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
                let mut state = self.0.state.lock();
                let is_called = state.$line.is_called(ticket);
                (is_called || is_late).then(|| state.$line.leave(ticket).is_called)
            }

            fn abandon(&self, ticket: &Ticket) {
                let _ = self.0.state.lock().$line.leave(ticket);
            }
        }
    };
}

plain_line!(Joiner, joiners);
plain_line!(Watcher, watchers);

impl<T, O: Order<T>> Describe for Core<T, O> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written outside of the latch: the formatter may be anybody's.
        let look = self.look();
        match look.capacity {
            usize::MAX => write!(f, "an unbounded queue with {} items", look.len)?,
            capacity => write!(f, "a queue ({} of {capacity} places taken)", look.taken)?,
        }
        write!(f, ", {} unfinished", look.unfinished)
    }
}
