//! Where a value lies while the stacks are switched: one side puts it there, the other takes it.
//!
//! An `Option` in a cell says the same and is safe, but it is written three times for each value. Both
//! sides of a switch know when there is one.
#![allow(unsafe_code)] // a cell that does not know whether it is full

#[cfg(debug_assertions)]
use std::cell::Cell;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

/// A value that is in there, or not. Dropping it drops nothing.
pub(super) struct Slot<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    #[cfg(debug_assertions)]
    is_full: Cell<bool>,
}

impl<T> Slot<T> {
    pub(super) const fn empty() -> Self {
        Slot {
            value: UnsafeCell::new(MaybeUninit::uninit()),
            #[cfg(debug_assertions)]
            is_full: Cell::new(false),
        }
    }

    /// Fills it. A value that was there and that nobody took is forgotten.
    #[inline(always)]
    pub(super) fn put(&self, value: T) {
        #[cfg(debug_assertions)]
        assert!(!self.is_full.replace(true), "a value that nobody took");
        // SAFETY: no reference into the cell is ever handed out, and it does not leave its thread.
        unsafe { (*self.value.get()).write(value) };
    }

    /// Empties it.
    ///
    /// # Safety
    ///
    /// It has been filled and not emptied since.
    #[inline(always)]
    pub(super) unsafe fn take(&self) -> T {
        #[cfg(debug_assertions)]
        assert!(self.is_full.replace(false), "a value that nobody put there");
        // SAFETY: as for `put`; the caller says that there is a value, and that nobody takes it again.
        unsafe { (*self.value.get()).assume_init_read() }
    }
}
