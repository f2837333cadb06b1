//! A growing table of small values for one thread: a `RefCell` of a slice without its count.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::fmt;

/// What lies on the way of every wake and every switch, where a count of borrows is a third of the work.
///
/// Not `Sync`. References to the slice stay inside of these methods, and nothing that they call while they
/// hold one is anybody else's code: to copy a `T` runs none, and to allocate, which may, is done before.
pub(crate) struct Table<T>(UnsafeCell<Vec<Cell<T>>>);

impl<T: Copy> Table<T> {
    pub(crate) const fn new() -> Self {
        Table(UnsafeCell::new(Vec::new()))
    }

    #[inline(always)]
    fn slice(&self) -> &[Cell<T>] {
        // SAFETY: this thread has the table to itself, and the one `&mut`, in `grow`, is not alive while any
        // other code runs; nor is what this returns while `grow` does.
        unsafe { &*self.0.get() }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.slice().len()
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<T> {
        self.slice().get(index).map(Cell::get)
    }

    /// Out of the table's range nothing is set.
    #[inline(always)]
    pub(crate) fn set(&self, index: usize, value: T) {
        if let Some(slot) = self.slice().get(index) {
            slot.set(value);
        }
    }

    /// Makes it longer; the new places hold `fill`. It never becomes shorter.
    #[cold]
    pub(crate) fn grow(&self, len: usize, fill: T) {
        // The program's allocator is the user's, and might come back here.
        let mut items = Vec::with_capacity(len);
        {
            // SAFETY: as in `slice`: nothing in this block allocates, frees, or calls anybody.
            let old = unsafe { &mut *self.0.get() };
            if old.len() < len {
                items.extend_from_slice(old);
                items.resize(len, Cell::new(fill));
                std::mem::swap(old, &mut items);
            }
        }
        drop(items);
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_keeps_what_is_in_it() {
        let table = Table::new();
        assert_eq!((table.len(), table.get(0)), (0, None));
        table.set(0, 1);
        assert_eq!(table.get(0), None);
        table.grow(2, 7);
        table.set(1, 8);
        table.grow(100, 9);
        table.grow(1, 0);
        assert_eq!(table.len(), 100);
        assert_eq!(
            [0, 1, 2, 99].map(|at| table.get(at)),
            [7, 8, 9, 9].map(Some)
        );
    }
}
