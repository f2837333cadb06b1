//! What may unwind a task: its own cancellation and the scopes with a deadline it stands in, minus shields.

use crate::base::clock::{Deadline, Nanos};

/// The payload of a cancellation's unwinding; private, so that nobody can forge one.
#[derive(Debug)]
pub(crate) struct Unwind {
    /// The scope at whose edge the unwinding ends.
    pub(crate) target: Target,
}

/// Where an unwinding is bound for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The task's root: the task was cancelled.
    Task,
    /// The scope with this number; numbers are unique within a task.
    Scope(u64),
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    /// Delivered from the moment the clock reaches it.
    Deadline { id: u64, at: Deadline },
    /// Nothing that stands outside of it is delivered inside of it.
    Shield,
}

/// The scopes a task stands in, outermost first.
///
/// They are found by number, never by frame address: a frame of a generator may be gone while a number
/// that it left behind is merely unknown.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    entries: Vec<Entry>,
    next_id: u64,
}

impl Scopes {
    pub(crate) const fn new() -> Self {
        Scopes {
            entries: Vec::new(),
            next_id: 0,
        }
    }

    /// Enters a scope that is cancelled at `at`; returns its number.
    pub(crate) fn push_deadline(&mut self, at: Deadline) -> u64 {
        self.next_id += 1;
        self.entries.push(Entry::Deadline {
            id: self.next_id,
            at,
        });
        self.next_id
    }

    pub(crate) fn push_shield(&mut self) {
        self.entries.push(Entry::Shield);
    }

    pub(crate) fn pop(&mut self) {
        self.entries.pop();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries that no shield covers, and whether there is no shield at all.
    fn open(&self) -> (&[Entry], bool) {
        let shield = self
            .entries
            .iter()
            .rposition(|entry| matches!(entry, Entry::Shield));
        (
            &self.entries[shield.map_or(0, |at| at + 1)..],
            shield.is_none(),
        )
    }

    /// The earliest deadline that would be delivered here.
    pub(crate) fn nearest(&self) -> Deadline {
        let deadlines = self.open().0.iter().map(|entry| match entry {
            Entry::Deadline { at, .. } => *at,
            Entry::Shield => Deadline::NEVER,
        });
        deadlines.min().unwrap_or(Deadline::NEVER)
    }

    /// The outermost cancellation that is due, so that of several only the outermost reports.
    pub(crate) fn due(&self, is_cancelled: bool, now: impl FnOnce() -> Nanos) -> Option<Target> {
        let (open, is_bare) = self.open();
        if is_cancelled && is_bare {
            return Some(Target::Task);
        }
        if open.is_empty() {
            return None;
        }
        let now = now();
        open.iter().find_map(|entry| match entry {
            Entry::Deadline { id, at } if at.is_due(now) => Some(Target::Scope(*id)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: Nanos) -> Deadline {
        Deadline::at(nanos)
    }

    #[test]
    fn of_several_that_are_due_the_outermost_reports() {
        let mut scopes = Scopes::new();
        let outer = scopes.push_deadline(at(10));
        let inner = scopes.push_deadline(at(5));
        assert_eq!(scopes.due(false, || 4), None);
        assert_eq!(scopes.due(false, || 7), Some(Target::Scope(inner)));
        assert_eq!(scopes.due(false, || 10), Some(Target::Scope(outer)));
        assert_eq!(scopes.due(true, || 10), Some(Target::Task));
    }

    #[test]
    fn a_shield_covers_what_stands_outside_of_it() {
        let mut scopes = Scopes::new();
        scopes.push_deadline(at(1));
        scopes.push_shield();
        assert_eq!(scopes.nearest(), Deadline::NEVER);
        assert_eq!(scopes.due(true, || 9), None);
        let inner = scopes.push_deadline(at(3));
        assert_eq!(scopes.nearest(), at(3));
        assert_eq!(scopes.due(true, || 9), Some(Target::Scope(inner)));
        scopes.pop();
        scopes.pop();
        assert_eq!(scopes.due(true, || 0), Some(Target::Task));
    }
}
