//! The deadlock report: who waits, for what, since when, and where in the source.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Nanos;

use super::header::{Header, TaskId};
use super::sleep::Epoch;
use super::wait::{Count, Holder, Wait};

/// What a worker may ask of a suspended task.
#[derive(Debug)]
pub(crate) enum Order {
    /// Say what you wait for, and stay parked.
    Describe(Arc<Collector>),
    /// Panic with this report: nothing will ever wake you.
    Deadlock(Arc<str>),
}

/// One blocked task.
#[derive(Debug)]
pub(crate) struct Row {
    id: TaskId,
    name: String,
    reason: &'static str,
    object: String,
    holder: Option<(&'static str, Holder)>,
    since: Nanos,
    place: &'static Location<'static>,
    spawned: &'static Location<'static>,
}

struct Object<'a, 'b>(&'a Wait<'b>);

impl fmt::Display for Object<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.object.map_or(Ok(()), |object| object.describe(f))
    }
}

impl Row {
    pub(crate) fn new(
        task: &Header,
        wait: &Wait<'_>,
        place: &'static Location<'static>,
        since: Nanos,
    ) -> Self {
        Row {
            id: task.id,
            name: task.name().to_owned(),
            reason: wait.reason,
            object: Object(wait).to_string(),
            holder: wait.object.and_then(|object| object.holder()),
            since,
            place,
            spawned: task.spec.place,
        }
    }
}

/// Where the rows of all workers come together.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) epoch: Epoch,
    /// The worker that found the program quiescent and settles the matter.
    pub(crate) judge: usize,
    rows: Mutex<Vec<Row>>,
    /// Workers that have not answered yet.
    awaited: Mutex<usize>,
}

impl Collector {
    pub(crate) fn new(epoch: Epoch, judge: usize, workers: usize) -> Self {
        Collector {
            epoch,
            judge,
            rows: Mutex::default(),
            awaited: Mutex::new(workers),
        }
    }

    pub(crate) fn push(&self, row: Row) {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(row);
    }

    /// One worker has answered; true for the last.
    pub(crate) fn answer(&self) -> bool {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        *awaited -= 1;
        *awaited == 0
    }

    /// Stands for who waits where; 0 if nobody does.
    pub(crate) fn fingerprint(&self) -> u64 {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = 0;
        for row in rows.iter() {
            let mut hasher = DefaultHasher::new();
            (row.id, row.reason, row.place).hash(&mut hasher);
            // A sum, as the rows come in any order.
            sum = hasher.finish().wrapping_add(sum);
        }
        sum
    }

    /// The report as text.
    pub(crate) fn render(&self, now: Nanos) -> String {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.sort_by_key(|row| row.id);
        let mut text = format!(
            "deadlock: {} {} blocked, and nothing is left that could wake {}\n",
            Count(rows.len(), "task"),
            if rows.len() == 1 { "is" } else { "are" },
            if rows.len() == 1 { "it" } else { "any of them" },
        );
        for row in rows.iter() {
            row.write(&rows, &mut text, now);
        }
        text
    }
}

impl Row {
    fn write(&self, all: &[Row], text: &mut String, now: Nanos) {
        use fmt::Write;
        let name = if self.name.is_empty() {
            "unnamed"
        } else {
            &self.name
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "  task {} ({name}): {}", self.id, self.reason);
        if !self.object.is_empty() {
            let _ = write!(text, " on {}", self.object);
        }
        if let Some((link, holder)) = self.holder {
            text.push_str(link);
            self.write_holder(holder, all, text);
        }
        match now.saturating_sub(self.since) {
            0 => text.push_str(" since this moment"),
            waited => drop(write!(text, " for {:.1?}", Duration::from_nanos(waited))),
        }
        let _ = writeln!(text, " at {}, spawned at {}", self.place, self.spawned);
    }

    /// All who are blocked are in the report, sorted by number: so are the names of those who keep others so.
    fn write_holder(&self, holder: Holder, all: &[Row], text: &mut String) {
        use fmt::Write;
        let task = TaskId(holder.task);
        match all.binary_search_by_key(&task, |row| row.id) {
            _ if holder.task == 0 => text.push_str("a plain thread"),
            Ok(at) if all[at].name.is_empty() => drop(write!(text, "task {task}")),
            Ok(at) => drop(write!(text, "task {task} {:?}", all[at].name)),
            // It has ended and left it so, or runs, or is another runtime's.
            Err(_) => drop(write!(text, "task {task} (none of these)")),
        }
        if task == self.id {
            text.push_str(" itself");
        }
        if let Some(place) = holder.since {
            let _ = write!(text, " since {}:{}", place.file(), place.line());
        }
    }
}
