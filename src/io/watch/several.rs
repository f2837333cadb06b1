//! Waiting until one of several descriptors may be ready, without a task for each.
//!
//! The protocol is that of the parent, for all of them at once: `prepare` every one, call until every one
//! would block, arm every one with the same waker, park, disarm. An event of any of them since its
//! `prepare` ends the wait before it has begun.

use std::io;
use std::os::fd::BorrowedFd;

use crate::base::clock::{Deadline, real_now};
use crate::base::error::Cancelled;
use crate::driver::registration::{Arm, Direction, Tick};
use crate::scheduler::park::{self, Wait, Wake};
use crate::sys::poll::{Interest, poll_any};

use super::{At, Descriptor, Disarm, Waited, Watch, busy, closed_by_another, is_on_task};

/// Descriptors to wait for, as they were when this was made.
#[derive(Default)]
pub(crate) struct Several<'a> {
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    watch: &'a Watch,
    fd: BorrowedFd<'a>,
    direction: Direction,
    /// Where it is registered, and what was seen there before the calls. `None` if it is not yet.
    seen: Option<(At<'a>, Tick)>,
}

impl<'a> Several<'a> {
    /// To be called before the calls that are to find out that they would block.
    pub(crate) fn add(&mut self, watch: &'a Watch, fd: BorrowedFd<'a>, direction: Direction) {
        let seen = watch.registration().map(|at| {
            let tick = at.prepare(direction);
            (at, tick)
        });
        self.entries.push(Entry {
            watch,
            fd,
            direction,
            seen,
        });
    }

    /// Waits until a call on one of them may do more than it did since [`add`](Self::add). False when the
    /// deadline has passed.
    #[track_caller]
    pub(crate) fn wait(mut self, reason: &'static str, deadline: Deadline) -> io::Result<bool> {
        if self.entries.iter().any(|entry| entry.watch.is_closed()) {
            return Err(closed_by_another());
        }
        if park::must_give_up() {
            return Err(Cancelled.into());
        }
        let waited = match is_on_task() {
            true => self.park(reason, deadline)?,
            false => self.block(deadline)?,
        };
        Ok(waited == Waited::Woken)
    }

    #[track_caller]
    fn park(&mut self, reason: &'static str, deadline: Deadline) -> io::Result<Waited> {
        for entry in &mut self.entries {
            if entry.seen.is_some() {
                continue;
            }
            let Some(at) = entry.watch.register(entry.fd)? else {
                // By another task, meanwhile: look again.
                return Ok(Waited::Woken);
            };
            let tick = at.prepare(entry.direction);
            entry.seen = Some((at, tick));
        }
        let mut armed = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let (at, tick) = entry.seen.as_ref().expect("registered above");
            match at.arm_by(entry.direction, *tick, park::current_waker) {
                Arm::Armed => armed.push(Disarm::new(at, entry.direction, *tick)),
                Arm::Ready | Arm::ReactorGone => return Ok(Waited::Woken),
                Arm::Busy => return Err(busy()),
                Arm::Closed => return Err(closed_by_another()),
            }
        }
        let what = self.entries.first().map(|entry| Descriptor(entry.fd));
        let mut wait = Wait::new(reason).until(deadline);
        if let Some(what) = &what {
            wait = wait.on(what);
        }
        match park::park(&wait) {
            Wake::Woken => Ok(Waited::Woken),
            Wake::TimedOut => Ok(Waited::TimedOut),
        }
    }

    fn block(&self, deadline: Deadline) -> io::Result<Waited> {
        let fds: Vec<_> = self
            .entries
            .iter()
            .map(|entry| match entry.direction {
                Direction::Read => (entry.fd, Interest::Read),
                Direction::Write => (entry.fd, Interest::Write),
            })
            .collect();
        match poll_any(&fds, deadline.remaining(real_now()))? {
            true => Ok(Waited::Woken),
            false => Ok(Waited::TimedOut),
        }
    }
}
