//! Tasks that swallow their cancellation and will never end: who they are, and who is told of it how often.

use std::fmt;
use std::io::Write;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::{Deadline, Nanos, real_now};

use super::config::OnStuck;
use super::header::{Header, TaskId};
use super::worker::Worker;

/// When such a task is first reported after the log line at once, and then again and again. By the real clock.
const FIRST: Duration = Duration::from_millis(1500);
const AGAIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Stuck {
    worker: usize,
    id: TaskId,
    name: String,
    /// Where it stays parked.
    place: &'static Location<'static>,
    spawned: &'static Location<'static>,
    since: Nanos,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.name.as_str() {
            "" => "unnamed",
            name => name,
        };
        let time = Duration::from_nanos(real_now().saturating_sub(self.since));
        write!(
            f,
            "task {} ({name}), spawned at {}, swallowed its cancellation again and again: it stays parked at {}, \
             since {time:.1?}, and whoever waits for it waits for ever",
            self.id, self.spawned, self.place
        )
    }
}

/// All such tasks of a runtime.
#[derive(Debug, Default)]
pub(crate) struct StuckTasks {
    rows: Mutex<Vec<Stuck>>,
    /// The runtime has been stopped without them: nobody waits any more.
    is_given_up: AtomicBool,
}

impl StuckTasks {
    fn rows(&self) -> MutexGuard<'_, Vec<Stuck>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, worker: usize, task: &Header, place: &'static Location<'static>) {
        self.rows().push(Stuck {
            worker,
            id: task.id,
            name: task.name().to_owned(),
            place,
            spawned: task.spec.place,
            since: real_now(),
        });
    }

    /// It goes on after all.
    pub(crate) fn remove(&self, task: &Header) {
        self.rows().retain(|row| row.id != task.id);
    }

    /// No more reports.
    pub(crate) fn give_up(&self) {
        // Relaxed: a report more or less.
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// The tasks of one worker, or of all.
    fn lines(&self, worker: Option<usize>) -> Vec<String> {
        let rows = self.rows();
        let is_meant = |row: &&Stuck| worker.is_none_or(|worker| row.worker == worker);
        rows.iter().filter(is_meant).map(Stuck::to_string).collect()
    }
}

impl Worker<'_> {
    /// Called now and then while this worker has such tasks; sets when next to call it, asleep or not.
    #[cold]
    pub(super) fn nag(&mut self) {
        let now = real_now();
        if self.nag_at.is_never() {
            self.nag_at = Deadline::after(now, FIRST);
        }
        if !self.nag_at.is_due(now) {
            return;
        }
        self.nag_at = Deadline::after(now, AGAIN);
        self.abort_if_stuck();
        let shared = &self.processor.shared;
        if !shared.stuck.is_given_up.load(Ordering::Relaxed) {
            for line in shared.stuck.lines(Some(self.processor.index)) {
                self.log(line.into());
            }
        }
    }

    /// Ends the process if the user wants that rather than wait.
    pub(super) fn abort_if_stuck(&self) {
        let shared = &self.processor.shared;
        if shared.config.on_stuck != OnStuck::Abort {
            return;
        }
        let mut stderr = std::io::stderr();
        for line in shared.stuck.lines(None) {
            // What cannot be said because stderr is closed is no reason to go on.
            let _ = writeln!(stderr, "greenloom: {line}");
        }
        let _ = writeln!(
            stderr,
            "greenloom: aborting, as on_stuck(OnStuck::Abort) says"
        );
        std::process::abort();
    }
}
