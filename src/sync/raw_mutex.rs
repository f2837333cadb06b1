//! The lock of a mutex without its value: who holds it, who is next.
//!
//! Waiters are served in the order in which they came. When the lock is left, the first of them is only
//! *nudged*: it stays first, and until it has looked, whoever runs may take the lock and leave it again.
//! That is what makes a busy lock fast: without it, each section would cost a switch of tasks as soon as
//! there is one waiter. If the nudged one finds the lock taken, it is *promised*: the next unlock hands the
//! lock over, and newcomers go behind. So a waiter is passed over during one nudge and never again.
//!
//! State, changed inside the latch only:
//!
//! | locked | nudged | promised | line | means |
//! |---|---|---|---|---|
//! | no | no | no | empty | free |
//! | no | yes | no | not empty | free, and its first waiter is on its way |
//! | yes | no | no | any | held; the unlock nudges the first |
//! | yes | yes | no | not empty | held by one that came while the first was on its way |
//! | yes | no | yes | not empty | held; the unlock hands over to the first |
//!
//! No lost wake: "free, somebody waits, nobody is nudged" is not in the table. The three steps that could
//! lead there are the unlock (it nudges), the first one's looking (it takes the lock or asks for the promise)
//! and the first one's leaving (it nudges the next if the lock is free).

use std::fmt::{self, Display};

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Holder, Sleeper, Wait};

use super::kind::Kind;
use super::latch::{Latch, Latched};
use super::wait_list::{self, Queue, Ticket, WaitList};

pub(super) struct RawMutex {
    state: Latch<State>,
}

#[derive(Debug)]
struct State {
    is_locked: bool,
    /// The first waiter has been woken to look for itself.
    is_nudged: bool,
    /// The first waiter gets the lock at the next unlock.
    is_promised: bool,
    /// Who took the lock last. For reports alone: nothing is decided by it.
    holder: Holder,
    line: WaitList<()>,
}

/// The lock as one who waits for it describes it.
struct Wanted<'a> {
    raw: &'a RawMutex,
    kind: Kind,
}

impl RawMutex {
    pub(super) const fn new() -> Self {
        RawMutex {
            state: Latch::new(State {
                is_locked: false,
                is_nudged: false,
                is_promised: false,
                holder: Holder::NOBODY,
                line: WaitList::new(),
            }),
        }
    }

    #[track_caller]
    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        let holder = park::current_holder();
        let mut state = self.state.lock();
        if state.is_locked {
            return false;
        }
        state.is_locked = true;
        state.holder = holder;
        true
    }

    /// False when the deadline passed before the lock was had.
    ///
    /// The kind is asked for only when there is a wait: a lock that is free pays nothing for it.
    #[track_caller]
    #[inline]
    pub(super) fn lock(&self, deadline: Deadline, kind: fn() -> Kind) -> bool {
        // Before the latch: the stores inside are of what is in registers.
        let holder = park::current_holder();
        let mut state = self.state.lock();
        if state.is_locked {
            return self.lock_contended(state, deadline, kind);
        }
        state.is_locked = true;
        state.holder = holder;
        true
    }

    #[cold]
    #[track_caller]
    fn lock_contended(
        &self,
        mut state: Latched<'_, State>,
        deadline: Deadline,
        kind: fn() -> Kind,
    ) -> bool {
        let ticket = state.line.join(());
        drop(state);
        let kind = kind();
        let wanted = Wanted { raw: self, kind };
        let wait = Wait::new(kind.reason).on(&wanted).until(deadline);
        let has_lock = wait_list::wait(self, ticket, &wait);
        if has_lock {
            self.state.lock().holder = park::current_holder();
        }
        has_lock
    }

    /// Called by whoever has the lock, once.
    #[inline]
    pub(super) fn unlock(&self) {
        let mut state = self.state.lock();
        debug_assert!(state.is_locked);
        if state.line.is_empty() {
            state.is_locked = false;
            return;
        }
        unlock_contended(state);
    }
}

/// Not inlined, so that the drop of a guard, without it, is.
#[inline(never)]
fn unlock_contended(mut state: Latched<'_, State>) {
    let waker = state.pass_on();
    drop(state);
    wake(waker);
}

#[inline]
fn wake(waker: Option<Sleeper>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    /// The lock is left while somebody waits; returns the waker to wake.
    fn pass_on(&mut self) -> Option<Sleeper> {
        if self.is_promised {
            // It stays locked: the one called has it now.
            self.is_promised = false;
            return self.line.call_first();
        }
        self.is_locked = false;
        self.nudge()
    }

    /// Sends the first waiter to look, unless it is on its way already.
    fn nudge(&mut self) -> Option<Sleeper> {
        if self.is_nudged || self.line.is_empty() {
            return None;
        }
        self.is_nudged = true;
        self.line.nudge_first()
    }

    /// A waiter gives up; returns whether it had been handed the lock, and the waker to wake.
    fn leave(&mut self, ticket: &Ticket) -> (bool, Option<Sleeper>) {
        let left = self.line.leave(ticket);
        if left.is_called {
            return (true, None);
        }
        if !left.was_first {
            return (false, None);
        }
        self.is_nudged = false;
        self.is_promised = false;
        let waker = if self.is_locked { None } else { self.nudge() };
        (false, waker)
    }

    /// The first waiter looks. True when it has the lock now, and no seat any more.
    fn take_or_ask(&mut self, ticket: &Ticket) -> bool {
        if !self.is_locked {
            self.is_locked = true;
            self.is_nudged = false;
            let _ = self.line.leave(ticket);
            return true;
        }
        // Else it was not nudged: a stale wake, and nobody has passed it over.
        if self.is_nudged {
            self.is_nudged = false;
            self.is_promised = true;
            self.line.stay(ticket);
        }
        false
    }
}

impl Queue for &RawMutex {
    /// Whether the waiter has the lock.
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let mut state = self.state.lock();
        if state.line.is_called(ticket) {
            let _ = state.line.leave(ticket);
            return Some(true);
        }
        if state.line.is_first(ticket) && state.take_or_ask(ticket) {
            return Some(true);
        }
        if !is_late {
            return None;
        }
        let (_, waker) = state.leave(ticket);
        drop(state);
        wake(waker);
        Some(false)
    }

    fn abandon(&self, ticket: &Ticket) {
        let (has_lock, waker) = self.state.lock().leave(ticket);
        if has_lock {
            self.unlock();
        }
        wake(waker);
    }
}

impl Describe for Wanted<'_> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }

    fn holder(&self) -> Option<(&'static str, Holder)> {
        Some((" held by ", self.raw.state.lock().holder))
    }
}
