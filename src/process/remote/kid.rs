//! A child of this process: how to signal it without hitting another, and how it ended.
//!
//! One task, at home, waits for it and takes its status; everybody else waits for that task's event. So no child stays
//! a zombie, whoever forgets it, and no status but our children's own is ever taken. How one waits for a child and
//! signals it is the business of `process::inner`, as for the children of a `Command`.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::io::Limit;
use crate::ipc::home;
use crate::process::inner::Inner;
use crate::runtime::Outside;
use crate::signal::Signal;
use crate::sync::Event;

/// A status that somebody else has taken: `wait` for any child, or SIGCHLD ignored.
const LOST: i32 = 255 << 8;

#[derive(Debug)]
pub(super) struct Kid {
    pub(super) pid: u32,
    inner: Inner,
    status: OnceLock<ExitStatus>,
    ended: Event,
}

impl Kid {
    /// Takes charge of a child. `on_end` is called when it has ended, before anybody is told.
    ///
    /// # Errors
    /// When there is no task to watch it; it is killed then.
    pub(super) fn adopt(
        child: Child,
        on_end: impl FnOnce(&Kid) + Send + 'static,
    ) -> io::Result<Arc<Kid>> {
        let kid = Arc::new(Kid {
            pid: child.id(),
            inner: Inner::new(child),
            status: OnceLock::new(),
            ended: Event::new(),
        });
        let theirs = kid.clone();
        let reaper = move || {
            let status = reap(&theirs.inner);
            // Set once, here.
            let _ = theirs.status.set(status);
            on_end(&theirs);
            theirs.ended.set();
        };
        let watched = home::spawn(&format!("reaper of {}", kid.pid), reaper);
        watched.inspect_err(|_| {
            let _ = kid.signal(Signal::KILL);
            kid.inner.block_until_ended();
        })?;
        Ok(kid)
    }

    /// Sends a signal; nothing happens when it has ended.
    ///
    /// # Errors
    /// `PermissionDenied` when it has changed its user.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.inner.send_signal(signal) {
            // Its status was taken by somebody else.
            Err(_) if self.status().is_some() => Ok(()),
            result => result,
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

    /// Blocks the thread until it has ended: for the end of the process.
    pub(super) fn block_until_ended(&self) {
        self.inner.block_until_ended();
    }
}

fn reap(inner: &Inner) -> ExitStatus {
    loop {
        match inner.wait(Limit::Never) {
            Ok(status) => return status,
            Err(error) if matches!(inner.try_wait(), Ok(None)) => {
                // Cannot be waited for by event: look now and then.
                log::warn!("waiting for process {} by the clock: {error}", inner.id());
                crate::time::sleep(Duration::from_millis(10));
            }
            Err(error) => {
                log::warn!(
                    "the status of process {} was taken by somebody else: {error}",
                    inner.id()
                );
                return ExitStatus::from_raw(LOST);
            }
        }
    }
}
