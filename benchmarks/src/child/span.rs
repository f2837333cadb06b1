//! The span in which tasks, all of them started, each yield so many times.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::measure::Round;

/// From the moment the last task has started to the end of the last one; starting is no part of it.
#[derive(Debug)]
pub struct Span {
    tasks: usize,
    started: AtomicUsize,
    ended: AtomicUsize,
    began: OnceLock<Instant>,
    over: OnceLock<Instant>,
}

impl Span {
    pub fn new(tasks: usize) -> Span {
        Span {
            tasks,
            started: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            began: OnceLock::new(),
            over: OnceLock::new(),
        }
    }

    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// When the last task had started.
    pub fn began(&self) -> Instant {
        *self.began.get().expect("all have started")
    }

    /// Called first by each task, which then yields until `all_started`.
    pub fn start(&self) {
        if self.started.fetch_add(1, Ordering::AcqRel) + 1 == self.tasks {
            let _ = self.began.set(Instant::now());
        }
    }

    #[inline]
    pub fn all_started(&self) -> bool {
        self.started.load(Ordering::Relaxed) >= self.tasks
    }

    /// Called last by each task.
    pub fn end(&self) {
        if self.ended.fetch_add(1, Ordering::AcqRel) + 1 == self.tasks {
            let _ = self.over.set(Instant::now());
        }
    }

    /// Of `each` yields a task. All but the last to start were resumed once more, out of its wait.
    pub fn round(&self, each: usize) -> Round {
        let over = self.over.get().expect("all have ended");
        Round {
            took: over.duration_since(self.began()),
            operations: (self.tasks * each + self.tasks - 1) as u64,
        }
    }
}

/// How often each of so many tasks yields in a round.
pub fn yields_each(tasks: usize) -> usize {
    (500_000 / tasks).max(5)
}
