//! A line of waiters for one descriptor: first come, first served, and nobody's turn is lost.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::base::error::TimedOut;
use crate::scheduler::park::{self, Wait, Wake};

use super::watch::{Descriptor, Limit, count_wait};

/// Admits one at a time.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Of the next to come.
    ticket: u64,
    /// Whose turn it is.
    served: Option<u64>,
    /// Who waits, in order.
    queue: VecDeque<(u64, Waker)>,
}

impl Inner {
    /// Gives the turn on; what is returned must be woken, without the lock.
    #[must_use]
    fn pass_on(&mut self) -> Option<Waker> {
        let next = self.queue.pop_front();
        self.served = next.as_ref().map(|(ticket, _)| *ticket);
        next.map(|(_, waker)| waker)
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn. What is left of `limit` comes with it.
    #[track_caller]
    pub(crate) fn enter(
        &self,
        reason: &'static str,
        fd: BorrowedFd<'_>,
        limit: Limit,
    ) -> Result<(Turn<'_>, Limit), TimedOut> {
        let ticket = {
            let mut inner = self.lock();
            let ticket = inner.ticket;
            inner.ticket += 1;
            if inner.served.is_none() {
                inner.served = Some(ticket);
                return Ok((Turn { line: self, ticket }, limit));
            }
            inner.queue.push_back((ticket, park::current_waker()));
            ticket
        };
        // From here on the place in line, or the turn, is given back on every way out.
        let turn = Turn { line: self, ticket };
        let deadline = limit.deadline();
        let what = Descriptor(fd);
        let wait = Wait::new(reason).on(&what).until(deadline);
        let _counted = Counted::begin();
        loop {
            let woken = park::park(&wait);
            if self.lock().served == Some(ticket) {
                return Ok((turn, Limit::At(deadline)));
            }
            if woken == Wake::TimedOut {
                return Err(TimedOut);
            }
        }
    }
}

/// Whoever stands behind waits for the descriptor too, though somebody else does so for it, perhaps in
/// another runtime or on a plain thread: its worker is at no standstill.
struct Counted;

impl Counted {
    fn begin() -> Counted {
        count_wait(|waits| waits + 1);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        count_wait(|waits| waits - 1);
    }
}

/// A place in line, or the turn itself.
pub(crate) struct Turn<'a> {
    line: &'a Line,
    ticket: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut inner = self.line.lock();
        let next = if inner.served == Some(self.ticket) {
            inner.pass_on()
        } else {
            inner.queue.retain(|(ticket, _)| *ticket != self.ticket);
            None
        };
        drop(inner);
        if let Some(next) = next {
            next.wake();
        }
    }
}
