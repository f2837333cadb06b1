//! A child of this process: how to signal it without hitting another, and how it ended.
//!
//! One task, at home, waits for it by its pidfd and takes its status; everybody else waits for that task's
//! event. So no child stays a zombie, whoever forgets it, and no status but our children's own is ever taken.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::io::Evented;
use crate::ipc::home;
use crate::runtime::Outside;
use crate::sync::Event;

/// A status that somebody else has taken: `wait` for any child, or SIGCHLD ignored.
const LOST: i32 = 255 << 8;

#[derive(Debug)]
pub(super) struct Kid {
    pub(super) pid: u32,
    /// Of this very process: its number may be another's some day.
    pidfd: OwnedFd,
    status: OnceLock<ExitStatus>,
    ended: Event,
}

impl Kid {
    /// Takes charge of a child. `on_end` is called when it has ended, before anybody is told.
    ///
    /// # Errors
    /// When it cannot be watched; it is killed then.
    pub(super) fn adopt(
        mut child: Child,
        on_end: impl FnOnce(&Kid) + Send + 'static,
    ) -> io::Result<Arc<Kid>> {
        let pid = child.id();
        let adopted =
            open(pid).and_then(|pidfd| Ok((Evented::from_nonblocking(pidfd.try_clone()?), pidfd)));
        let begun = adopted.map(|(watched, pidfd)| {
            let kid = Arc::new(Kid {
                pid,
                pidfd,
                status: OnceLock::new(),
                ended: Event::new(),
            });
            (watched, kid)
        });
        let (watched, kid) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let theirs = kid.clone();
        let reaper = move || {
            let status = reap(&watched, &mut child);
            // Set once, here.
            let _ = theirs.status.set(status);
            on_end(&theirs);
            theirs.ended.set();
        };
        match home::spawn(&format!("reaper of {pid}"), reaper) {
            Ok(task) => drop(task),
            Err(error) => {
                // The closure, with the child, is gone: what is left is to make it end.
                let _ = kid.signal(Signal::KILL);
                return Err(error);
            }
        }
        Ok(kid)
    }

    /// Sends a signal; nothing happens when it has ended.
    ///
    /// # Errors
    /// `PermissionDenied` when it has changed its user.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }

    /// How it ended; `None` while it lives.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.status.get().copied()
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn wait(&self) -> ExitStatus {
        let _outside = Outside::here();
        self.ended.wait();
        self.status().unwrap_or_else(|| ExitStatus::from_raw(LOST))
    }

    /// As `wait`, at most for a while.
    #[track_caller]
    pub(super) fn wait_timeout(&self, timeout: Duration) -> Option<ExitStatus> {
        let _outside = Outside::here();
        self.ended.wait_timeout(timeout);
        self.status()
    }

    /// Blocks the thread until it has ended, without taking its status: for the end of the process.
    pub(super) fn block_until_ended(&self) {
        use crate::sys::poll::{Interest, poll_fd};
        let _ = poll_fd(self.pidfd.as_fd(), Interest::Read, None);
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn reap(watched: &Evented<OwnedFd>, child: &mut Child) -> ExitStatus {
    loop {
        let waited = watched.wait_readable();
        match child.try_wait() {
            Ok(Some(status)) => return status,
            Ok(None) => {
                if let Err(error) = waited {
                    // Cannot be waited for by event: look now and then.
                    log::warn!("waiting for process {} by the clock: {error}", child.id());
                    crate::time::sleep(Duration::from_millis(10));
                }
            }
            Err(error) => {
                log::warn!(
                    "the status of process {} was taken by somebody else: {error}",
                    child.id()
                );
                return ExitStatus::from_raw(LOST);
            }
        }
    }
}
