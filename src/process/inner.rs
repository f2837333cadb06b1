//! One child process: the only place where it is waited for and signalled.
//!
//! Whoever takes a child's status frees its number for other processes. So both are done under one lock, by
//! the number of this child alone: it is signalled only while it has not been waited for, and its number is
//! its own until then. The wait itself is outside of the lock, for a descriptor that becomes readable when
//! the child ends and takes nothing (pidfd). Where there is none, SIGCHLD says when to look again, with a
//! look in between for the case that somebody has taken that signal away.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::Deadline;
use crate::base::error::TimedOut;
use crate::driver::registration::Direction;
use crate::io::line::Line;
use crate::io::{Evented, Limit, aim};
use crate::runtime::Outside;
use crate::scheduler::park;
use crate::signal::{Signal, Signals};
use crate::sys::process::{open_pidfd, send_signal, send_signal_by};
use crate::time::sleep;

use super::reaper;

/// How often to look where only SIGCHLD, or nothing at all, says when: the latter while descriptors are
/// short.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const LOOK_OFTEN: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Inner {
    id: u32,
    process: Mutex<std::process::Child>,
    /// Readable when the child has ended.
    end: Option<Evented<OwnedFd>>,
    /// Those who wait for it: one at the descriptor, the others behind.
    line: Line,
}

impl Inner {
    /// Takes a child whose pipes have been taken out.
    pub(super) fn new(process: std::process::Child) -> Inner {
        let id = process.id();
        Inner {
            id,
            process: Mutex::new(process),
            end: open_pidfd(id).map(Evented::from_nonblocking),
            line: Line::default(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, std::process::Child> {
        // Only system calls are made under it.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its status if it has ended, which std remembers from then on.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.lock().try_wait()
    }

    pub(super) fn send_signal(&self, signal: Signal) -> io::Result<()> {
        let mut process = self.lock();
        match (process.try_wait()?, &self.end) {
            (Some(_), _) => Ok(()),
            (None, Some(end)) => send_signal_by(end.as_fd(), self.id, signal.as_raw()),
            (None, None) => send_signal(self.id, signal.as_raw()),
        }
    }

    /// `TimedOut` is the only error of its kind.
    #[track_caller]
    pub(super) fn wait(&self, limit: Limit) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        let _outside = Outside::here();
        let Some(end) = &self.end else {
            return self.wait_by_signal(limit.deadline());
        };
        let (_turn, limit) = self.line.enter("process.wait_line", end.as_fd(), limit)?;
        let look = |_: &OwnedFd| self.try_wait()?.ok_or(io::ErrorKind::WouldBlock.into());
        end.operate(aim(Direction::Read, "process.wait", limit), look, |_| false)
    }

    #[cold]
    #[track_caller]
    fn wait_by_signal(&self, deadline: Deadline) -> io::Result<ExitStatus> {
        // Caught before the first look, so that no end is missed.
        let signals = Signals::new([Signal::CHLD]).ok();
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            let left = deadline.remaining(park::now());
            if left == Some(Duration::ZERO) {
                return Err(TimedOut.into());
            }
            let least = |limit: Duration| left.map_or(limit, |left| left.min(limit));
            match &signals {
                Some(signals) => drop(signals.recv_timeout(least(LOOK_AGAIN))),
                None => sleep(least(LOOK_OFTEN)),
            }
        }
    }

    /// Blocks the thread until it has ended, without the help of tasks.
    #[cfg(feature = "process")]
    pub(super) fn block_until_ended(&self) {
        use crate::sys::poll::{Interest, poll_fd};
        while let Ok(None) = self.try_wait() {
            let polled = self.end.as_ref().map(|end| {
                // It stays readable when it is.
                poll_fd(end.as_fd(), Interest::Read, None)
            });
            if !matches!(polled, Some(Ok(true))) {
                #[expect(clippy::disallowed_methods, reason = "at the end, on a thread")]
                std::thread::sleep(LOOK_OFTEN);
            }
        }
    }

    /// What is left of it if it has not ended.
    fn into_orphan(self) -> Option<Orphan> {
        let mut process = self
            .process
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match process.try_wait() {
            Ok(None) => Some(Orphan {
                process,
                end: self.end.map(Evented::into_inner),
            }),
            // Somebody else has waited for it: nothing is left to do.
            Ok(Some(_)) | Err(_) => None,
        }
    }
}

/// A child as all who hold it share it: when the last of them goes, its status is still taken.
#[derive(Debug)]
pub(super) struct Held(Option<Inner>);

impl Held {
    pub(super) fn new(inner: Inner) -> Held {
        Held(Some(inner))
    }
}

impl Deref for Held {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        self.0.as_ref().expect("it is there until the end")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(orphan) = self.0.take().and_then(Inner::into_orphan) {
            reaper::adopt(orphan);
        }
    }
}

/// A child that nobody holds any more, and whose status is still to be taken.
#[derive(Debug)]
pub(super) struct Orphan {
    process: std::process::Child,
    pub(super) end: Option<OwnedFd>,
}

impl Orphan {
    /// Takes its status if it has ended. True when there is nothing more to wait for.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }
}
