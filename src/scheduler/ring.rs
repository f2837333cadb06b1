//! The line of ready tasks: a growing ring of small numbers, first in, first out.

use std::cell::Cell;

use crate::base::table::Table;

/// A queue with one user, whose push and pop are a few plain instructions: no wrap to compare with, and
/// no number of items to keep.
#[derive(Debug)]
pub(crate) struct Ring {
    /// A power of two of slots.
    slots: Table<u32>,
    /// Counts pops; the slot is its low bits.
    head: Cell<usize>,
    /// Counts pushes.
    tail: Cell<usize>,
}

const FIRST: usize = 64;

impl Ring {
    pub(crate) fn new() -> Self {
        let slots = Table::new();
        slots.grow(FIRST, 0);
        Ring {
            slots,
            head: Cell::new(0),
            tail: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.get() == self.head.get()
    }

    #[inline]
    pub(crate) fn push(&self, item: u32) {
        if !self.try_push(item) {
            self.grow();
            let _has_room = self.try_push(item);
        }
    }

    #[inline]
    fn try_push(&self, item: u32) -> bool {
        let tail = self.tail.get();
        if tail.wrapping_sub(self.head.get()) == self.slots.len() {
            return false;
        }
        self.slots.set(self.index(tail), item);
        self.tail.set(tail.wrapping_add(1));
        true
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<u32> {
        let item = self.peek(0)?;
        self.head.set(self.head.get().wrapping_add(1));
        Some(item)
    }

    /// Pops the oldest item if it is this one.
    #[inline]
    pub(crate) fn pop_if(&self, item: u32) {
        if self.peek(0) == Some(item) {
            self.head.set(self.head.get().wrapping_add(1));
        }
    }

    /// Takes the newest item back if it is this one.
    #[inline]
    pub(crate) fn pop_back_if(&self, item: u32) {
        if self.len().checked_sub(1).and_then(|last| self.peek(last)) == Some(item) {
            self.tail.set(self.tail.get().wrapping_sub(1));
        }
    }

    /// The item that will be popped after `ahead` others.
    #[inline]
    pub(crate) fn peek(&self, ahead: usize) -> Option<u32> {
        if ahead >= self.len() {
            return None;
        }
        let index = self.index(self.head.get().wrapping_add(ahead));
        self.slots.get(index)
    }

    #[inline]
    fn index(&self, count: usize) -> usize {
        count & self.slots.len().wrapping_sub(1)
    }

    /// Keeps the items that `keep` wants, in order.
    pub(crate) fn retain(&self, mut keep: impl FnMut(u32) -> bool) {
        for _ in 0..self.len() {
            if let Some(item) = self.pop()
                && keep(item)
            {
                self.push(item);
            }
        }
    }

    pub(crate) fn count(&self, item: u32) -> usize {
        (0..self.len())
            .filter(|&ahead| self.peek(ahead) == Some(item))
            .count()
    }

    #[cold]
    fn grow(&self) {
        // The items are its whole length, from some place on and round the end: each finds its new place.
        let head = self.head.get();
        let old: Vec<u32> = (0..self.len()).filter_map(|n| self.peek(n)).collect();
        self.slots.grow(self.slots.len() * 2, 0);
        for (n, item) in old.into_iter().enumerate() {
            self.slots.set(self.index(head.wrapping_add(n)), item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_order_of_a_naive_queue() {
        let ring = Ring::new();
        let mut naive = std::collections::VecDeque::new();
        let mut seed = 7u64;
        for step in 0..100_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match seed >> 62 {
                0 | 1 => {
                    ring.push(step);
                    naive.push_back(step);
                }
                2 => assert_eq!(ring.pop(), naive.pop_front()),
                _ => assert_eq!(ring.peek(3), naive.get(3).copied()),
            }
            if step % 997 == 0 {
                ring.retain(|item| item % 3 != 0);
                naive.retain(|item| item % 3 != 0);
            }
            assert_eq!(ring.len(), naive.len());
        }
    }
}
