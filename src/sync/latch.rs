//! The lock under the locks: for a few instructions, taken by one atomic operation and left by a plain store.
//!
//! A lock that can put its waiters to sleep must ask, when it is left, whether somebody sleeps: a second
//! atomic read-modify-write, as dear as the first. This one does not ask; its waiters spin, then let other
//! threads run, then sleep for short times by the clock. That is right only because of the rules it is
//! used by: the section inside never parks, wakes, or runs a user's code or destructors, so it lasts some
//! ten nanoseconds, and finding it taken means that another CPU is inside this very moment, or, rarely,
//! that its thread was scheduled away there.
//!
//! A panic inside leaves the latch open: the sections move plain values between plain fields.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::base::primitive::{AtomicBool, Ordering};

/// Rounds of spinning, each twice as long as the one before.
const SPINS: u32 = 6;
/// After these: rounds in which the OS may run another thread of the same priority.
const YIELDS: u32 = 16;
/// After these: naps, so that a holder of lower priority gets to run as well.
const NAP: Duration = Duration::from_micros(50);

pub(crate) struct Latch<T> {
    /// Set by whoever is inside, by an acquiring exchange; cleared by a releasing store.
    is_taken: AtomicBool,
    /// Touched through a `Latched` only.
    value: UnsafeCell<T>,
}

// SAFETY: the latch gives `&mut T` to one thread at a time, which amounts to sending the `T` there.
unsafe impl<T: Send> Sync for Latch<T> {}

/// The right to the value inside, for as long as it lives.
pub(crate) struct Latched<'a, T> {
    latch: &'a Latch<T>,
    /// Not `Send`; nothing needs it to be.
    stays: PhantomData<*mut ()>,
}

impl<T> Latch<T> {
    pub(crate) const fn new(value: T) -> Self {
        Latch {
            is_taken: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Latched<'_, T> {
        if !self.try_take() {
            self.take_contended();
        }
        Latched {
            latch: self,
            stays: PhantomData,
        }
    }

    #[inline]
    fn try_take(&self) -> bool {
        // Acquire: pairs with the release in `Latched::drop`.
        self.is_taken
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn take_contended(&self) {
        let mut round = 0;
        loop {
            // Looked at before it is tried: a failing exchange would pull the cache line away from
            // the one who is inside.
            if !self.is_taken.load(Ordering::Relaxed) && self.try_take() {
                return;
            }
            rest(round);
            round += 1;
        }
    }
}

fn rest(round: u32) {
    if round < SPINS {
        for _ in 0..1 << round {
            std::hint::spin_loop();
        }
    } else if round < SPINS + YIELDS {
        std::thread::yield_now();
    } else {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one inside is a thread that the OS has put aside"
        )]
        std::thread::sleep(NAP);
    }
}

impl<T> Deref for Latched<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this value exists, so its maker has set `is_taken` and nobody else has a `Latched`.
        unsafe { &*self.latch.value.get() }
    }
}

impl<T> DerefMut for Latched<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` keeps other borrows of this one away.
        unsafe { &mut *self.latch.value.get() }
    }
}

impl<T> Drop for Latched<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: what was done inside happens before the next one's entry.
        self.latch.is_taken.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for Latch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch")
            .field("is_taken", &self.is_taken)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_inside() {
        let latch = Latch::new((0u64, 0u64));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let mut pair = latch.lock();
                        assert_eq!(pair.0, pair.1);
                        pair.0 += 1;
                        pair.1 += 1;
                    }
                });
            }
        });
        assert_eq!(*latch.lock(), (80_000, 80_000));
    }
}
