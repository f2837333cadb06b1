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

use std::fmt;

use crate::base::clock::Deadline;
use crate::base::primitive::{AtomicU64, Ordering};
use crate::scheduler::park::{self, Describe, Sleeper, Wait};

use super::latch::{Latch, Latched};
use super::wait_list::{self, Queue, Ticket, WaitList};

pub(super) struct RawMutex {
    state: Latch<State>,
    /// The task that took the lock last, 0 for a plain thread. For reports alone: written after the lock
    /// is taken, and nothing is decided by it.
    holder: AtomicU64,
}

#[derive(Debug)]
struct State {
    is_locked: bool,
    /// The first waiter has been woken to look for itself.
    is_nudged: bool,
    /// The first waiter gets the lock at the next unlock.
    is_promised: bool,
    line: WaitList<()>,
}

impl RawMutex {
    pub(super) const fn new() -> Self {
        RawMutex {
            state: Latch::new(State {
                is_locked: false,
                is_nudged: false,
                is_promised: false,
                line: WaitList::new(),
            }),
            holder: AtomicU64::new(0),
        }
    }

    #[inline]
    fn note_holder(&self) {
        // Relaxed: for reports.
        self.holder.store(park::current_id(), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        let is_free = !std::mem::replace(&mut self.state.lock().is_locked, true);
        if is_free {
            self.note_holder();
        }
        is_free
    }

    /// False when the deadline passed before the lock was had.
    #[track_caller]
    #[inline]
    pub(super) fn lock(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        if state.is_locked {
            return self.lock_contended(state, deadline);
        }
        state.is_locked = true;
        drop(state);
        self.note_holder();
        true
    }

    #[cold]
    #[track_caller]
    fn lock_contended(&self, mut state: Latched<'_, State>, deadline: Deadline) -> bool {
        let ticket = state.line.join(());
        drop(state);
        let wait = Wait::new("sync.mutex").on(self).until(deadline);
        let has_lock = wait_list::wait(self, ticket, &wait);
        if has_lock {
            self.note_holder();
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
        let waker = state.pass_on();
        drop(state);
        wake(waker);
    }
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

impl Describe for RawMutex {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holder.load(Ordering::Relaxed) {
            0 => f.write_str("a Mutex held by a plain thread"),
            id => write!(f, "a Mutex held by task {id}"),
        }
    }
}
