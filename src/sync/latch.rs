//! The lock under the locks: for a few instructions, taken by one atomic operation and left by a plain store.
//!
//! A lock that can put its waiters to sleep must ask, when it is left, whether somebody sleeps: a second
//! atomic read-modify-write, as dear as the first. This one does not ask; its waiters spin, then let other
//! threads run, then sleep for short times by the clock. That is right only because of the rules it is
//! used by: the section inside never parks, wakes, or runs a user's code or destructors, so it lasts some
//! ten nanoseconds, and finding it taken means that another CPU is inside this very moment, or, rarely,
//! that its thread was scheduled away there.
//!
//! Who may be inside is [`Door`]'s business, which also spares the thread that always comes the atomic operation.
//!
//! A panic inside leaves the latch open: the sections move plain values between plain fields.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

use super::door::{Door, Inside, NO_NUMBER};

pub(crate) struct Latch<T> {
    door: Door,
    /// Touched through a `Latched` only.
    value: UnsafeCell<T>,
}

// SAFETY: the latch gives `&mut T` to one thread at a time, which amounts to sending the `T` there.
unsafe impl<T: Send> Sync for Latch<T> {}

/// The right to the value inside, for as long as it lives.
pub(crate) struct Latched<'a, T> {
    latch: &'a Latch<T>,
    inside: Inside<'a>,
    /// Not `Send`: a door that leans is left by the thread that went in.
    stays: PhantomData<*mut ()>,
}

thread_local! {
    // Const and without a destructor: reading it is one load, also while the thread exits.
    static MY_NUMBER: Cell<u32> = const { Cell::new(NO_NUMBER) };
}

/// Gives this thread its number, which no other has or will have.
#[cold]
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // Relaxed: only distinctness matters. Past the last one threads go without, for good.
    let next = |number| (number < NO_NUMBER).then_some(number + 1);
    let number = NEXT
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .unwrap_or(NO_NUMBER);
    MY_NUMBER.set(number);
    number
}

impl<T> Latch<T> {
    pub(crate) const fn new(value: T) -> Self {
        Latch {
            door: Door::new(),
            value: UnsafeCell::new(value),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Latched<'_, T> {
        let me = match MY_NUMBER.get() {
            NO_NUMBER => number(),
            me => me,
        };
        Latched {
            latch: self,
            inside: self.door.enter(me),
            stays: PhantomData,
        }
    }
}

impl<T> Deref for Latched<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this value exists, so its maker has gone in by the door, and nobody else has a `Latched`.
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
        self.inside.leave();
    }
}

impl<T> fmt::Debug for Latch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch")
            .field("door", &self.door)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::barrier;

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

    #[test]
    fn it_leans_to_who_comes_alone_and_is_a_lock_for_all_when_another_comes() {
        barrier::prepare();
        for _ in 0..100 {
            let latch = Latch::new((0u64, 0u64));
            let visit = || {
                let mut pair = latch.lock();
                assert_eq!(pair.0, pair.1);
                pair.0 += 1;
                pair.1 += 1;
                pair.0
            };
            while visit() < 400 {}
            assert_eq!(latch.door.leans(), barrier::is_there());
            std::thread::scope(|scope| {
                let go_on = scope.spawn(|| (0..300).for_each(|_| assert!(visit() > 400)));
                (0..2000).for_each(|_| assert!(visit() > 400));
                go_on.join().expect("pairs");
            });
            assert!(!latch.door.leans());
            assert_eq!(*latch.lock(), (2700, 2700));
        }
    }
}
