//! The mark that a panic leaves on a lock whose value it may have left half changed.

use std::sync::{LockResult, PoisonError};

use crate::base::primitive::{AtomicBool, Ordering};
use crate::scheduler::park;

/// Set while the lock is held for writing, by a guard that a panic unwinds; never by a cancellation.
#[derive(Debug)]
pub(super) struct Poison {
    is_set: AtomicBool,
}

/// Whether whoever took the lock was unwinding already: then its destructors' work poisons nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    amid_unwinding: bool,
}

impl Taken {
    /// To be called with the lock just taken.
    #[inline]
    pub(super) fn now() -> Self {
        Taken {
            amid_unwinding: park::is_unwinding(),
        }
    }
}

impl Poison {
    pub(super) const fn new() -> Self {
        Poison {
            is_set: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        // Relaxed: whoever holds the lock has acquired what its holders before did.
        self.is_set.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.is_set.store(false, Ordering::Relaxed);
    }

    /// The lock is about to be left.
    #[inline]
    pub(super) fn leave(&self, taken: Taken) {
        if !taken.amid_unwinding && park::is_panicking() {
            // Relaxed: published by the unlock.
            self.is_set.store(true, Ordering::Relaxed);
        }
    }

    /// What a lock gives, in the shape that tells of the poison.
    #[inline]
    pub(super) fn check<V>(&self, value: V) -> LockResult<V> {
        checked(self.is_set(), value)
    }
}

#[inline]
pub(super) fn checked<V>(is_poisoned: bool, value: V) -> LockResult<V> {
    if is_poisoned {
        Err(PoisonError::new(value))
    } else {
        Ok(value)
    }
}
