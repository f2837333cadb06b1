//! The one file that names atomics and thread locks, so that a model checker can put its own in their place.
//!
//! `--cfg loom` and `--cfg shuttle` are set by the crate in `models/` alone: it includes the lock-free
//! files by path and runs them under every interleaving (loom) or a great many (shuttle). Loom's
//! atomics have no `const fn new`, so nothing here may be used in a `static`.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

/// Takes `mutex`, poisoned or not: no lock of ours is held over code that may panic half way.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A value with cache lines of its own, so that its writers do not disturb its neighbours' readers.
///
/// 128 bytes: x86 fetches lines in pairs, and some aarch64 chips have lines that long.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
