//! The processes that this one has started and that live, and what becomes of them at its end.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::sys::child;

use super::kid::Kid;

/// A child process that lives, or lived a moment ago: see [`active_children`].
#[derive(Clone)]
pub struct ActiveChild {
    kid: Arc<Kid>,
    name: Arc<str>,
    is_daemon: bool,
}

static ACTIVE: Mutex<Vec<ActiveChild>> = Mutex::new(Vec::new());

/// The process whose children they are; `None` if it cannot see to them at its end.
static OWNER: OnceLock<Option<u32>> = OnceLock::new();

fn active() -> MutexGuard<'static, Vec<ActiveChild>> {
    ACTIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a child into the list, if it has not ended already.
pub(super) fn enter(kid: &Arc<Kid>, name: Arc<str>, is_daemon: bool) -> io::Result<()> {
    let owner = OWNER.get_or_init(|| child::at_exit(at_exit).ok().map(|()| std::process::id()));
    if owner.is_none() {
        return Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "no room for an exit handler",
        ));
    }
    let mut active = active();
    active.push(ActiveChild {
        kid: kid.clone(),
        name,
        is_daemon,
    });
    // The one who leaves it may have come first; both stand in the lock.
    active.retain(|child| child.kid.status().is_none());
    Ok(())
}

/// Called when a child has ended.
pub(super) fn leave(kid: &Kid) {
    active().retain(|child| child.kid.pid != kid.pid || child.kid.status().is_none());
}

/// The child processes that have been started by [`Process`](super::Process) and have not ended, the oldest
/// first; workers of pools included. Python's `multiprocessing.active_children`.
pub fn active_children() -> Vec<ActiveChild> {
    active().clone()
}

/// Daemons are killed; the others, which are to finish their work, are waited for.
///
/// By then `main` has ended or `exit` was called, on whatever thread: so it waits without the help of tasks.
extern "C" fn at_exit() {
    // A fork of that process has the list, and its children are not its own.
    if OWNER.get() != Some(&Some(std::process::id())) {
        return;
    }
    loop {
        let children = active().clone();
        for child in children.iter().filter(|child| child.is_daemon) {
            let _ = child.kid.signal(Signal::KILL);
        }
        for child in &children {
            child.kid.block_until_ended();
        }
        // One that was started meanwhile is waited for as well.
        let is_news = |child: &ActiveChild| {
            let is_known = |other: &ActiveChild| Arc::ptr_eq(&other.kid, &child.kid);
            !children.iter().any(is_known)
        };
        if !active().iter().any(is_news) {
            return;
        }
    }
}

impl ActiveChild {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.kid.pid
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is killed, not waited for, when this process ends.
    pub fn is_daemon(&self) -> bool {
        self.is_daemon
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.kid.status().is_some()
    }

    /// Asks it to end, by SIGTERM.
    ///
    /// # Errors
    ///
    /// When it may not be signalled.
    pub fn terminate(&self) -> io::Result<()> {
        self.kid.signal(Signal::TERM)
    }

    /// Ends it, by SIGKILL.
    ///
    /// # Errors
    ///
    /// When it may not be signalled.
    pub fn kill(&self) -> io::Result<()> {
        self.kid.signal(Signal::KILL)
    }

    /// Waits until it has ended, at most for `timeout`, and returns how.
    ///
    /// # Parks
    ///
    /// While it lives (`sync.event`).
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<ExitStatus> {
        self.kid.wait_timeout(timeout)
    }
}

impl fmt::Debug for ActiveChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveChild")
            .field("id", &self.kid.pid)
            .field("name", &self.name)
            .field("is_daemon", &self.is_daemon)
            .field("status", &self.kid.status())
            .finish()
    }
}
