//! The lock of an `RwLock` without its value: who is inside, who is next.
//!
//! One line for readers and writers, served in the order in which they came. Whoever comes while others wait
//! goes behind them, readers too: so writers are not starved by readers that overlap, nor readers by
//! writers. When the lock is left, the first of the line is let in, and if it reads, the readers that
//! stand right behind it with it: that is a phase of readers, and the next writer ends it.
//!
//! State, changed inside the latch only; *readers* counts those that were called and are on their way:
//!
//! | written | readers | the first in line |
//! |---|---|---|
//! | yes | 0 | anybody, or nobody |
//! | no | some | a writer, or nobody |
//! | no | 0 | nobody |
//!
//! Each step that leads out of the table is followed, in the same latch, by `State::serve`, which leads back.

use std::fmt::{self, Display};

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Count, Describe, Holder, Wait};

use super::kind::Kind;
use super::latch::{Latch, Latched};
use super::wait_list::{self, Queue, Ticket, WaitList, Wakers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
}

pub(super) struct RawRwLock {
    state: Latch<State>,
}

#[derive(Debug)]
struct State {
    readers: usize,
    is_written: bool,
    /// Who came in last. For reports alone: nothing is decided by it.
    holder: Holder,
    line: WaitList<Want>,
}

/// The lock as one who waits for it describes it.
struct Wanted<'a> {
    raw: &'a RawRwLock,
    kind: Kind,
}

impl RawRwLock {
    pub(super) const fn new() -> Self {
        RawRwLock {
            state: Latch::new(State {
                readers: 0,
                is_written: false,
                holder: Holder::NOBODY,
                line: WaitList::new(),
            }),
        }
    }

    #[track_caller]
    #[inline]
    pub(super) fn try_lock(&self, want: Want) -> bool {
        let holder = park::current_holder();
        self.state.lock().try_enter(want, holder)
    }

    /// False when the deadline passed before the lock was had.
    #[track_caller]
    #[inline]
    pub(super) fn lock(&self, want: Want, deadline: Deadline, kind: fn() -> Kind) -> bool {
        let holder = park::current_holder();
        let mut state = self.state.lock();
        state.try_enter(want, holder) || self.lock_contended(state, want, deadline, kind)
    }

    #[cold]
    #[track_caller]
    fn lock_contended(
        &self,
        mut state: Latched<'_, State>,
        want: Want,
        deadline: Deadline,
        kind: fn() -> Kind,
    ) -> bool {
        let ticket = state.line.join(want);
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

    /// Called by whoever has the lock that way, once.
    #[inline]
    pub(super) fn unlock(&self, want: Want) {
        let mut state = self.state.lock();
        state.exit(want);
        if !state.line.is_empty() {
            serve(state);
        }
    }

    /// Called by the writer, who is a reader from now on.
    pub(super) fn downgrade(&self) {
        let mut state = self.state.lock();
        state.exit(Want::Write);
        // First, so that no writer comes in between.
        state.enter(Want::Read);
        serve(state);
    }
}

impl State {
    #[inline]
    fn has_room(&self, want: Want) -> bool {
        !self.is_written && (want == Want::Read || self.readers == 0)
    }

    #[inline]
    fn try_enter(&mut self, want: Want, holder: Holder) -> bool {
        let may_enter = self.line.is_empty() && self.has_room(want);
        if may_enter {
            self.enter(want);
            self.holder = holder;
        }
        may_enter
    }

    #[inline]
    fn enter(&mut self, want: Want) {
        match want {
            Want::Read => self.readers += 1,
            Want::Write => self.is_written = true,
        }
    }

    #[inline]
    fn exit(&mut self, want: Want) {
        match want {
            Want::Read => self.readers -= 1,
            Want::Write => self.is_written = false,
        }
    }
}

/// Lets in everybody at the head of the line for whom there is room; leaves the latch, and wakes them.
fn serve(mut state: Latched<'_, State>) {
    let mut wakers = Wakers::new();
    while let Some(&mut want) = state.line.first()
        && state.has_room(want)
    {
        state.enter(want);
        if let Some(waker) = state.line.call_first() {
            wakers.push(waker);
        }
    }
    drop(state);
    wakers.wake();
}

impl Queue for &RawRwLock {
    /// Whether the waiter has the lock.
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let mut state = self.state.lock();
        let is_called = state.line.is_called(ticket);
        if !is_called && !is_late {
            return None;
        }
        let left = state.line.leave(ticket);
        if left.was_first {
            // A writer that gives up was all that kept the readers behind it out.
            serve(state);
        }
        Some(is_called)
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.state.lock();
        let left = state.line.leave(ticket);
        if left.is_called {
            state.exit(left.payload);
        }
        serve(state);
    }
}

impl Describe for Wanted<'_> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.raw.state.lock().readers {
            0 => Ok(()),
            readers => write!(f, " with {}", Count(readers, "reader")),
        }
    }

    fn holder(&self) -> Option<(&'static str, Holder)> {
        let state = self.raw.state.lock();
        let link = match state.is_written {
            true => " held for writing by ",
            false => ", the last that came being ",
        };
        Some((link, state.holder))
    }
}
