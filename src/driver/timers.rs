//! The timers of one worker: a heap of deadlines from which most are withdrawn unfired.
//!
//! Nearly every timer guards an operation that ends in time, so setting and withdrawing must be
//! cheap and firing may cost more. A 4-ary heap holds 16-byte entries, a slab beside it holds the
//! values; a withdrawn timer only marks its slot, and its entry stays in the heap until it comes
//! to the top, to the end, or until more than half of the entries are dead.
//!
//! Invariants:
//! - every slot that is not on the free list has exactly one heap entry and every entry has a
//!   slot, live or dead; a slot is freed only together with its entry, so a dead entry can never
//!   be taken for a later timer in the same slot;
//! - the heap is ordered by (deadline, sequence): equal deadlines fire first in, first out;
//! - the first entry of the heap is live, or the heap is empty: `remove` and `pop_due` leave it
//!   so, which makes `next_deadline` a mere look.

/// Names a timer until it has fired or was removed; after that it names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

/// One place in the heap.
#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: u64,
    /// The sequence in the upper half, the slot in the lower.
    order: u64,
}

impl Entry {
    fn slot(self) -> usize {
        (self.order & u64::from(u32::MAX)) as usize
    }

    /// Compared as one number, which compiles to two instructions and no branch.
    fn rank(self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.order)
    }
}

#[derive(Debug)]
struct Slot<T> {
    value: T,
    /// Grows whenever the key that was given out stops to be valid.
    generation: u32,
    /// `LIVE`, `DEAD`, or the next free slot (`END` after the last).
    link: u32,
}

const LIVE: u32 = u32::MAX;
const DEAD: u32 = u32::MAX - 1;
const END: u32 = u32::MAX - 2;

/// Children of a node: one cache line of entries, and half the depth of a binary heap.
const WIDTH: usize = 4;

/// Fewer dead entries than this are left in peace.
const COMPACT_FROM: usize = 64;

/// Deadlines with a value each.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: Vec<Entry>,
    slots: Vec<Slot<T>>,
    /// First slot of the free list, or `END`.
    free: u32,
    /// Entries of the heap whose slot is `DEAD`.
    dead: usize,
    /// Given to the next timer; renumbered before it would wrap.
    sequence: u32,
}

impl<T: Copy> Timers<T> {
    /// No timers, no memory.
    pub(crate) const fn new() -> Timers<T> {
        Timers {
            heap: Vec::new(),
            slots: Vec::new(),
            free: END,
            dead: 0,
            sequence: 0,
        }
    }

    /// How many are set and neither fired nor removed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.heap.len() - self.dead
    }

    /// Is none set?
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Sets a timer.
    ///
    /// # Panics
    /// At four billion timers at once.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        let slot = self.take_slot(value);
        let order = u64::from(self.sequence) << 32 | u64::from(slot);
        self.sequence += 1;
        self.heap.push(Entry { deadline, order });
        self.sift_up(self.heap.len() - 1);
        TimerKey {
            slot,
            generation: self.slots[slot as usize].generation,
        }
    }

    /// Withdraws a timer and returns its value, unless it has fired or was removed before.
    #[inline]
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation || slot.link != LIVE {
            return None;
        }
        let value = slot.value;
        slot.link = DEAD;
        self.dead += 1;
        self.settle();
        Some(value)
    }

    /// Takes the first timer whose deadline is not after `now`.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<T> {
        let first = *self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        let value = self.slots[first.slot()].value;
        self.pop_first();
        if self.dead != 0 {
            self.settle();
        }
        Some(value)
    }

    /// A slot for `value`, off the free list if that has one.
    #[inline]
    fn take_slot(&mut self, value: T) -> u32 {
        let index = self.free;
        if index == END {
            let index = u32::try_from(self.slots.len()).unwrap_or(END);
            assert!(index < END, "too many timers");
            self.slots.push(Slot {
                value,
                generation: 0,
                link: LIVE,
            });
            return index;
        }
        let slot = &mut self.slots[index as usize];
        self.free = slot.link;
        slot.value = value;
        slot.link = LIVE;
        index
    }

    /// Gives a slot back whose entry has just left the heap.
    #[inline]
    fn free_slot(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.link == DEAD {
            self.dead -= 1;
        }
        slot.generation = slot.generation.wrapping_add(1);
        slot.link = self.free;
        self.free = index as u32;
    }

    #[inline]
    fn is_dead(&self, entry: Entry) -> bool {
        self.slots[entry.slot()].link == DEAD
    }

    /// Restores the invariants after a timer died or the top was taken: drops the dead entries at
    /// the end (a timer that is soon withdrawn is mostly there) and at the top, and all of them if
    /// they are too many.
    #[inline]
    fn settle(&mut self) {
        while let Some(&last) = self.heap.last()
            && self.is_dead(last)
        {
            self.heap.pop();
            self.free_slot(last.slot());
        }
        while let Some(&first) = self.heap.first()
            && self.is_dead(first)
        {
            self.pop_first();
        }
        if self.dead > COMPACT_FROM && self.dead > self.heap.len() / 2 {
            self.compact();
        }
    }

    /// Takes the top off the heap, whatever it is.
    fn pop_first(&mut self) {
        let first = self.heap[0];
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.sift_down(0, last);
        }
        self.free_slot(first.slot());
    }

    /// Throws all dead entries out and builds the heap anew.
    #[cold]
    fn compact(&mut self) {
        let mut heap = std::mem::take(&mut self.heap);
        heap.retain(|&entry| {
            let live = !self.is_dead(entry);
            if !live {
                self.free_slot(entry.slot());
            }
            live
        });
        heap.shrink_to(heap.len() * 4);
        self.heap = heap;
        if let Some(last_parent) = self.heap.len().checked_sub(2).map(|last| last / WIDTH) {
            for place in (0..=last_parent).rev() {
                self.sift_down(place, self.heap[place]);
            }
        }
    }

    /// Starts the sequence anew, so that it never wraps; once in four billion timers.
    #[cold]
    fn renumber(&mut self) {
        self.compact();
        self.heap.sort_unstable_by_key(|entry| entry.rank());
        for (sequence, entry) in self.heap.iter_mut().enumerate() {
            entry.order = (sequence as u64) << 32 | entry.slot() as u64;
        }
        self.sequence = self.heap.len() as u32;
    }

    /// Moves the entry at `place` up to where it belongs.
    #[inline]
    fn sift_up(&mut self, mut place: usize) {
        let heap = &mut self.heap[..];
        let entry = heap[place];
        while place > 0 {
            let parent = (place - 1) / WIDTH;
            if heap[parent].rank() <= entry.rank() {
                break;
            }
            heap[place] = heap[parent];
            place = parent;
        }
        heap[place] = entry;
    }

    /// Puts `entry` into the hole at `place`, or below it.
    fn sift_down(&mut self, mut place: usize, entry: Entry) {
        let heap = &mut self.heap[..];
        loop {
            let first = place * WIDTH + 1;
            let Some(children) = heap.get(first..heap.len().min(first + WIDTH)) else {
                break;
            };
            let mut least = 0;
            for child in 1..children.len() {
                if children[child].rank() < children[least].rank() {
                    least = child;
                }
            }
            if children.is_empty() || entry.rank() <= children[least].rank() {
                break;
            }
            heap[place] = children[least];
            place = first + least;
        }
        heap[place] = entry;
    }
}

#[cfg(test)]
#[path = "timers_tests.rs"]
mod tests;
