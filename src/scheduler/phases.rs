//! What each started task of a worker is about: it runs, is parked, or is in line; by its key.
//!
//! Written and read by the worker's thread alone. So a wake on the own worker is a look at one byte and
//! a push, and who wants to wake a task later need not hold it: the worker's number and the task's key
//! are plain data. A key may be another task's by then; that one is woken for nothing, which every wait
//! must bear, and the one that was meant has left its wait.

use crate::base::table::Table;

/// What the worker must do after a wake.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterWake {
    /// Put it into the ready queue.
    Enqueue,
    /// It runs, is queued already, or has ended.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has the key.
    Free,
    /// Running, or in the ready queue by its own yield: a wake that comes meanwhile must outlive the
    /// yield, for it may belong to a wait that was published before.
    Running,
    /// The same, and a wake came meanwhile: the next park returns at once.
    Notified,
    /// In the ready queue by a wake; further wakes add nothing.
    Ready,
    Parked,
}

/// The phases of the tasks in the worker's table. No key is [`Phases::NO_KEY`].
#[derive(Debug)]
pub(crate) struct Phases {
    slots: Table<Phase>,
}

impl Phases {
    /// The key of a task that has none yet, or no more.
    pub(crate) const NO_KEY: u32 = u32::MAX;

    pub(crate) const fn new() -> Self {
        Phases {
            slots: Table::new(),
        }
    }

    #[inline]
    fn get(&self, key: u32) -> Phase {
        self.slots.get(key as usize).unwrap_or(Phase::Free)
    }

    #[inline]
    fn set(&self, key: u32, phase: Phase) {
        self.slots.set(key as usize, phase);
    }

    /// A task gets the key, and runs.
    #[inline]
    pub(crate) fn begin(&self, key: u32) {
        if self.slots.len() <= key as usize {
            let room = (key as usize + 1).next_power_of_two();
            self.slots.grow(room, Phase::Free);
        }
        self.set(key, Phase::Running);
    }

    /// The task that had the key has ended.
    #[inline]
    pub(crate) fn end(&self, key: u32) {
        self.set(key, Phase::Free);
    }

    /// A wake.
    #[inline]
    pub(crate) fn wake(&self, key: u32) -> AfterWake {
        match self.get(key) {
            Phase::Parked => {
                self.set(key, Phase::Ready);
                return AfterWake::Enqueue;
            }
            Phase::Running => self.set(key, Phase::Notified),
            _ => {}
        }
        AfterWake::Nothing
    }

    /// The task runs again, if it was resumed because of a wake; one that was resumed to describe itself
    /// stays parked.
    #[inline]
    pub(crate) fn enter_if_ready(&self, key: u32) {
        if self.get(key) == Phase::Ready {
            self.set(key, Phase::Running);
        }
    }

    /// The task runs again though nobody woke it.
    pub(crate) fn enter(&self, key: u32) {
        self.set(key, Phase::Running);
    }

    /// Takes a wake that came while running; when there is none, the task counts as parked.
    #[inline]
    pub(crate) fn try_park(&self, key: u32) -> bool {
        let is_notified = self.get(key) == Phase::Notified;
        let phase = if is_notified {
            Phase::Running
        } else {
            Phase::Parked
        };
        self.set(key, phase);
        !is_notified
    }

    pub(crate) fn is_parked(&self, key: u32) -> bool {
        self.get(key) == Phase::Parked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_kept_for_the_next_park_and_a_late_one_is_nobody_s() {
        let phases = Phases::new();
        assert_eq!(phases.wake(3), AfterWake::Nothing);
        phases.begin(3);
        assert_eq!(phases.wake(3), AfterWake::Nothing);
        assert!(!phases.try_park(3) && phases.try_park(3) && phases.is_parked(3));
        assert_eq!(phases.wake(3), AfterWake::Enqueue);
        assert_eq!(phases.wake(3), AfterWake::Nothing);
        phases.enter_if_ready(3);
        // The second wake was for the same wait.
        assert!(phases.try_park(3));
        phases.end(3);
        assert_eq!(phases.wake(3), AfterWake::Nothing);
        assert_eq!(phases.wake(Phases::NO_KEY), AfterWake::Nothing);
    }
}
