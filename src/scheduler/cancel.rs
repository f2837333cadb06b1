//! What may unwind a task: its own cancellation and the scopes it stands in, minus shields.

use std::sync::Arc;

use crate::base::clock::{Deadline, Nanos};
use crate::base::primitive::{AtomicBool, Ordering};

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

/// What cancels the scopes that stand under it: raised once, on any thread, and never lowered. Whoever
/// raises it wakes the tasks that stand in such scopes; they find it when they look what is due.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn raise(&self) {
        // Release: pairs with `is_raised`.
        self.0.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_raised(&self) -> bool {
        // Acquire: who is told of the cancellation sees what came before it.
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
enum Entry {
    /// Delivered from the moment the clock reaches `at`, or the flag is raised.
    Scope {
        id: u64,
        at: Deadline,
        flag: Option<Arc<Flag>>,
    },
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
    /// Enters a scope that is cancelled at `at` or by the flag; returns its number.
    pub(crate) fn push(&mut self, at: Deadline, flag: Option<Arc<Flag>>) -> u64 {
        self.next_id += 1;
        self.entries.push(Entry::Scope {
            id: self.next_id,
            at,
            flag,
        });
        self.next_id
    }

    /// Gives the scope with this number another deadline, if the task stands in it.
    pub(crate) fn set_deadline(&mut self, scope: u64, deadline: Deadline) {
        for entry in &mut self.entries {
            match entry {
                Entry::Scope { id, at, .. } if *id == scope => *at = deadline,
                _ => {}
            }
        }
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
            Entry::Scope { at, .. } => *at,
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
            Entry::Scope { id, at, flag }
                if at.is_due(now) || flag.as_ref().is_some_and(|flag| flag.is_raised()) =>
            {
                Some(Target::Scope(*id))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(scopes: &mut Scopes, nanos: Nanos) -> u64 {
        scopes.push(Deadline::at(nanos), None)
    }

    #[test]
    fn of_several_that_are_due_the_outermost_reports() {
        let mut scopes = Scopes::default();
        let outer = push(&mut scopes, 10);
        let inner = push(&mut scopes, 5);
        assert_eq!(scopes.due(false, || 4), None);
        assert_eq!(scopes.due(false, || 7), Some(Target::Scope(inner)));
        assert_eq!(scopes.due(false, || 10), Some(Target::Scope(outer)));
        assert_eq!(scopes.due(true, || 10), Some(Target::Task));
    }

    #[test]
    fn a_shield_covers_what_stands_outside_of_it() {
        let mut scopes = Scopes::default();
        push(&mut scopes, 1);
        scopes.push_shield();
        assert_eq!(scopes.nearest(), Deadline::NEVER);
        assert_eq!(scopes.due(true, || 9), None);
        let inner = push(&mut scopes, 3);
        assert_eq!(scopes.nearest(), Deadline::at(3));
        assert_eq!(scopes.due(true, || 9), Some(Target::Scope(inner)));
        scopes.pop();
        scopes.pop();
        assert_eq!(scopes.due(true, || 0), Some(Target::Task));
    }

    #[test]
    fn a_raised_flag_is_due_at_any_time_and_yields_to_what_stands_outside() {
        let mut scopes = Scopes::default();
        let outer = push(&mut scopes, 10);
        let flag = Arc::new(Flag::default());
        let inner = scopes.push(Deadline::NEVER, Some(flag.clone()));
        assert_eq!(scopes.due(false, || 9), None);
        flag.raise();
        assert_eq!(scopes.due(false, || 9), Some(Target::Scope(inner)));
        assert_eq!(scopes.due(false, || 10), Some(Target::Scope(outer)));
        scopes.push_shield();
        assert_eq!(scopes.due(false, || 10), None);
    }

    #[test]
    fn a_deadline_is_moved_by_the_number_of_its_scope() {
        let mut scopes = Scopes::default();
        let outer = push(&mut scopes, 1);
        let inner = push(&mut scopes, 2);
        scopes.set_deadline(outer, Deadline::at(5));
        scopes.set_deadline(inner + 1, Deadline::PASSED);
        assert_eq!(scopes.nearest(), Deadline::at(2));
        assert_eq!(scopes.due(false, || 4), Some(Target::Scope(inner)));
        assert_eq!(scopes.due(false, || 5), Some(Target::Scope(outer)));
    }
}
