//! The seats of a pool: who has one, who waits for one, who waits for all of them to be free.
//!
//! A seat is taken before its task is spawned and given up inside of the task, when the job has been
//! dropped; so there are never more tasks than seats, and whoever joins a member finds its seat free.
//!
//! A member that spawns into its own full pool would wait for itself, directly or not. It *lends* its seat
//! instead: the new task runs without one of its own, while its parent does nothing but wait for it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait};
use crate::sync::latch::{Latch, Latched};
use crate::sync::wait_list::{self, Queue, Ticket, WaitList, Wakers};
use crate::task::{self, Task, TaskId};

pub(super) struct Seats {
    state: Latch<State>,
}

struct State {
    size: usize,
    /// Seats that tasks have, and spawners on their way to a task; may exceed `size` after a `resize`.
    taken: usize,
    /// How many stand in `line`.
    waiting: usize,
    /// Nobody gets a seat any more.
    is_closed: bool,
    /// Members that start now are cancelled.
    is_terminated: bool,
    /// Tasks that have started, whether they have a seat or were lent one.
    members: HashMap<TaskId, Task, BuildHasherDefault<ById>>,
    /// The payload is whether a seat was given: not when the line was called because the pool closes.
    line: WaitList<bool>,
    /// Who waits for the last member's end.
    idle: WaitList<()>,
}

/// Numbers of tasks are given out one after the other: spread over the table by a multiplication.
#[derive(Default)]
struct ById(u64);

impl Hasher for ById {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Why there was no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeat {
    Full,
    Closed,
}

/// A seat, on its way to the task that it goes with.
pub(super) struct Seat {
    seats: Arc<Seats>,
    /// The task that spawns waits, as a member, for the one that it spawns.
    pub(super) is_lent: bool,
    /// Set when the task has started.
    member: Option<TaskId>,
}

impl Seats {
    pub(super) fn new(size: usize) -> Seats {
        Seats {
            state: Latch::new(State {
                size,
                taken: 0,
                waiting: 0,
                is_closed: false,
                is_terminated: false,
                members: HashMap::default(),
                line: WaitList::new(),
                idle: WaitList::new(),
            }),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.state.lock().size
    }

    pub(super) fn taken(&self) -> usize {
        self.state.lock().taken
    }

    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    pub(super) fn free(&self) -> usize {
        let state = self.state.lock();
        state.size.saturating_sub(state.taken)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    pub(super) fn resize(&self, size: usize) {
        let mut state = self.state.lock();
        state.size = size;
        serve(state);
    }

    fn seat(self: &Arc<Self>, is_lent: bool) -> Seat {
        Seat {
            seats: self.clone(),
            is_lent,
            member: None,
        }
    }

    /// Takes a seat that is free, out of turn for nobody.
    pub(super) fn try_take(self: &Arc<Self>) -> Result<Seat, NoSeat> {
        self.state.lock().try_take()?;
        Ok(self.seat(false))
    }

    /// Takes a seat, or waits for one; a member of the pool is lent its own. `Full` when time is over.
    #[track_caller]
    pub(super) fn take(self: &Arc<Self>, deadline: Deadline) -> Result<Seat, NoSeat> {
        let mut state = self.state.lock();
        match state.try_take() {
            Ok(()) => return Ok(self.seat(false)),
            Err(NoSeat::Closed) => return Err(NoSeat::Closed),
            Err(NoSeat::Full) => {}
        }
        if state.has_caller() {
            return Ok(self.seat(true));
        }
        let ticket = state.line.join(false);
        state.waiting += 1;
        drop(state);
        let wait = Wait::new("pool.spawn").on(&**self).until(deadline);
        wait_list::wait(Line(self), ticket, &wait)?;
        Ok(self.seat(false))
    }

    /// Nobody gets a seat from now on; those who wait for one are told. False when that was so before.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state.lock();
        let was_open = !state.is_closed;
        state.is_closed = true;
        state.waiting = 0;
        let wakers = state.line.call_all();
        drop(state);
        wakers.wake();
        was_open
    }

    /// Cancels the members, and those that are on their way.
    pub(super) fn terminate(&self) {
        self.close();
        let mut state = self.state.lock();
        state.is_terminated = true;
        let members: Vec<Task> = state.members.values().cloned().collect();
        drop(state);
        members.iter().for_each(Task::cancel);
    }

    /// Whether the running task is a member: it must not wait for the end of all.
    pub(super) fn has_caller(&self) -> bool {
        self.state.lock().has_caller()
    }

    /// Waits until no seat is taken; false when the deadline passed before.
    #[track_caller]
    pub(super) fn wait_until_idle(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        if state.taken == 0 {
            return true;
        }
        if deadline.is_due(park::now()) {
            return false;
        }
        let ticket = state.idle.join(());
        drop(state);
        let wait = Wait::new("pool.join").on(self).until(deadline);
        wait_list::wait(Idle(self), ticket, &wait)
    }
}

impl State {
    fn try_take(&mut self) -> Result<(), NoSeat> {
        if self.is_closed {
            return Err(NoSeat::Closed);
        }
        if self.taken >= self.size || !self.line.is_empty() {
            return Err(NoSeat::Full);
        }
        self.taken += 1;
        Ok(())
    }

    fn has_caller(&self) -> bool {
        // On a plain thread the number is nobody's.
        self.members.contains_key(&TaskId(park::current_id()))
    }
}

/// Gives free seats to the first in line, and tells those who wait for the end; leaves the latch.
fn serve(mut state: Latched<'_, State>) {
    let mut wakers = Wakers::new();
    while state.taken < state.size {
        let Some(waker) = state.line.call_first_with(|has_seat| *has_seat = true) else {
            break;
        };
        state.taken += 1;
        state.waiting -= 1;
        wakers.push(waker);
    }
    if state.taken == 0 {
        while let Some(waker) = state.idle.call_first() {
            wakers.push(waker);
        }
    }
    drop(state);
    wakers.wake();
}

impl Seat {
    /// Runs the job of the task that this seat goes with, in that task; the seat is given up at its end,
    /// and also when the task never starts.
    pub(super) fn run<T>(mut self, job: impl FnOnce() -> T) -> T {
        let me = task::current();
        self.member = Some(me.id());
        let mut state = self.seats.state.lock();
        state.members.insert(me.id(), me.clone());
        let is_terminated = state.is_terminated;
        drop(state);
        if is_terminated {
            me.cancel();
            task::checkpoint();
        }
        job()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.state.lock();
        let member = self.member.and_then(|id| state.members.remove(&id));
        state.taken -= usize::from(!self.is_lent);
        serve(state);
        drop(member);
    }
}

/// As waited for by spawners.
struct Line<'a>(&'a Seats);

impl Queue for Line<'_> {
    type Outcome = Result<(), NoSeat>;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<Self::Outcome> {
        let mut state = self.0.state.lock();
        if !state.line.is_called(ticket) && !is_late {
            return None;
        }
        let left = state.line.leave(ticket);
        Some(match (left.is_called, left.payload) {
            (true, true) => Ok(()),
            (true, false) => Err(NoSeat::Closed),
            (false, _) => {
                state.waiting -= 1;
                Err(NoSeat::Full)
            }
        })
    }

    fn abandon(&self, ticket: &Ticket) {
        let mut state = self.0.state.lock();
        let left = state.line.leave(ticket);
        if !left.is_called {
            state.waiting -= 1;
        } else if left.payload {
            state.taken -= 1;
        }
        serve(state);
    }
}

/// As waited for by those who join the pool.
struct Idle<'a>(&'a Seats);

impl Queue for Idle<'_> {
    type Outcome = bool;

    fn settle(&self, ticket: &Ticket, is_late: bool) -> Option<bool> {
        let mut state = self.0.state.lock();
        let is_called = state.idle.is_called(ticket);
        (is_called || is_late).then(|| state.idle.leave(ticket).is_called)
    }

    fn abandon(&self, ticket: &Ticket) {
        let _ = self.0.state.lock().idle.leave(ticket);
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("GreenPool")
            .field("size", &state.size)
            .field("running", &state.taken)
            .field("waiting", &state.waiting)
            .field("is_closed", &state.is_closed)
            .finish()
    }
}

impl Describe for Seats {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        let (size, taken, mut members) = {
            let state = self.state.lock();
            let members: Vec<TaskId> = state.members.keys().copied().collect();
            (state.size, state.taken, members)
        };
        // Who they are: what they wait for in their turn is in the same report.
        members.sort_unstable();
        write!(f, "a GreenPool of {size} with {taken} running")?;
        for (n, id) in members.iter().take(SHOWN).enumerate() {
            write!(f, "{} {id}", if n == 0 { ": task" } else { "," })?;
        }
        match members.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}
