//! The timers of one worker: ordered deadlines, most of which are withdrawn unfired.
//!
//! Nearly every timer guards an operation that ends in time, so setting and withdrawing must be
//! cheap and firing may cost more. And nearly all timers of a program have one of a few durations,
//! so most are set in the order in which they will fire. Hence two kinds of queue for the 16-byte
//! entries, with the values in a slab beside them:
//!
//! - a few lanes, each sorted because it is only appended to: a timer goes to the lane whose last
//!   deadline is the latest that is not after its own, so each duration finds a lane for itself;
//! - a 4-ary heap for what fits no lane.
//!
//! A withdrawn timer only marks its slot; its entry stays until it comes to an end of its queue,
//! or until more than half of all entries are dead. Nothing costs more than O(log n), amortised,
//! and what is set in order, or withdrawn as the latest, costs O(1).
//!
//! Invariants:
//! - every slot that is not on the free list has exactly one entry and every entry has a slot,
//!   live or dead; a slot is freed only together with its entry, so a dead entry can never be
//!   taken for a later timer in the same slot;
//! - queues are ordered by (deadline, sequence): equal deadlines fire first in, first out;
//! - the first entry of a queue is live, or the queue is empty: so `next_deadline` only looks.

use std::collections::VecDeque;

/// Names a timer until it has fired or was removed; after that it names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

/// One place in a queue.
#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: u64,
    /// The sequence in the upper half, the slot in the lower.
    order: u64,
}

impl Entry {
    fn new(deadline: u64, sequence: u32, slot: u32) -> Entry {
        Entry {
            deadline,
            order: u64::from(sequence) << 32 | u64::from(slot),
        }
    }

    #[inline]
    fn slot(self) -> usize {
        (self.order & u64::from(u32::MAX)) as usize
    }

    /// Compared as one number, which compiles to two instructions and no branch.
    #[inline]
    fn rank(self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.order)
    }
}

/// Queues that are only appended to; one more is the heap.
const LANES: usize = 3;
/// The number of the heap among the queues.
const HEAP: usize = LANES;
/// Children of a node of the heap: one cache line, and half the depth of a binary heap.
const WIDTH: usize = 4;
/// Fewer dead entries than this are left in peace.
const COMPACT_FROM: usize = 64;
/// More slots than this are given back when none is in use.
const BURST: usize = 4096;

#[derive(Debug)]
struct Slot<T> {
    value: T,
    /// Grows whenever the key that was given out stops to be valid.
    generation: u32,
    /// `DEAD`; `LIVE` plus the number of its queue; or the next free slot (`END` after the last).
    link: u32,
}

const DEAD: u32 = u32::MAX;
const LIVE: u32 = DEAD - 1 - LANES as u32;
const END: u32 = LIVE - 1;

/// The values of the timers, and which of them are alive.
#[derive(Debug)]
struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// First slot of the free list, or `END`.
    free: u32,
    live: usize,
    dead: usize,
    /// Generation of slots that are made anew: later than any that was ever given out.
    fresh: u32,
}

impl<T: Copy> Slots<T> {
    /// A slot for `value`, off the free list if that has one.
    #[inline]
    fn take(&mut self, value: T, queue: usize) -> TimerKey {
        let link = LIVE + queue as u32;
        self.live += 1;
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.free = slot.link;
            slot.value = value;
            slot.link = link;
            return TimerKey {
                slot: index,
                generation: slot.generation,
            };
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(END);
        assert!(index < END, "too many timers");
        let generation = self.fresh;
        self.slots.push(Slot {
            value,
            generation,
            link,
        });
        TimerKey {
            slot: index,
            generation,
        }
    }

    /// Marks a timer dead, if it is alive; returns its value and its queue.
    #[inline]
    fn kill(&mut self, key: TimerKey) -> Option<(T, usize)> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation || slot.link < LIVE || slot.link == DEAD {
            return None;
        }
        let queue = slot.link - LIVE;
        slot.link = DEAD;
        self.live -= 1;
        self.dead += 1;
        Some((slot.value, queue as usize))
    }

    /// Frees the slot of an entry that leaves its queue; returns what it held.
    #[inline]
    fn free(&mut self, entry: Entry) -> T {
        let slot = &mut self.slots[entry.slot()];
        match slot.link {
            DEAD => self.dead -= 1,
            _ => self.live -= 1,
        }
        slot.generation = slot.generation.wrapping_add(1);
        slot.link = self.free;
        self.free = entry.slot() as u32;
        slot.value
    }

    /// Frees the slot if its timer is dead.
    #[inline]
    fn free_dead(&mut self, entry: Entry) -> bool {
        let dead = self.slots[entry.slot()].link == DEAD;
        if dead {
            self.free(entry);
        }
        dead
    }
}

/// Deadlines with a value each.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    lanes: [VecDeque<Entry>; LANES],
    /// The last deadline of each lane, dead or alive; zero if it is empty.
    ends: [u64; LANES],
    heap: Vec<Entry>,
    slots: Slots<T>,
    /// Given to the next timer; renumbered before it would wrap.
    sequence: u32,
}

impl<T: Copy> Timers<T> {
    /// No timers, no memory.
    pub(crate) const fn new() -> Timers<T> {
        Timers {
            lanes: [const { VecDeque::new() }; LANES],
            ends: [0; LANES],
            heap: Vec::new(),
            slots: Slots {
                slots: Vec::new(),
                free: END,
                live: 0,
                dead: 0,
                fresh: 0,
            },
            sequence: 0,
        }
    }

    /// How many are set and neither fired nor removed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.live
    }

    /// Is none set?
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.live == 0
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        self.first().map(|(entry, _)| entry.deadline)
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
        let queue = self.queue_for(deadline);
        let key = self.slots.take(value, queue);
        let entry = Entry::new(deadline, self.sequence, key.slot);
        self.sequence += 1;
        match self.lanes.get_mut(queue) {
            Some(lane) => {
                lane.push_back(entry);
                self.ends[queue] = deadline;
            }
            None => {
                self.heap.push(entry);
                self.sift_up(self.heap.len() - 1);
            }
        }
        key
    }

    /// Withdraws a timer and returns its value, unless it has fired or was removed before.
    #[inline]
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        let (value, queue) = self.slots.kill(key)?;
        self.settle(queue);
        self.trim();
        Some(value)
    }

    /// Takes the first timer whose deadline is not after `now`.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<T> {
        let (first, queue) = self.first()?;
        if first.deadline > now {
            return None;
        }
        match self.lanes.get_mut(queue) {
            Some(lane) => {
                lane.pop_front();
                if lane.is_empty() {
                    self.ends[queue] = 0;
                }
            }
            None => self.pop_heap(),
        }
        let value = self.slots.free(first);
        if self.slots.dead != 0 {
            self.settle(queue);
        }
        self.trim();
        Some(value)
    }

    /// The first entry of all, and its queue.
    #[inline]
    fn first(&self) -> Option<(Entry, usize)> {
        let mut first = self.heap.first().map(|&entry| (entry, HEAP));
        for (queue, lane) in self.lanes.iter().enumerate() {
            if let Some(&entry) = lane.front()
                && first.is_none_or(|(least, _)| entry.rank() < least.rank())
            {
                first = Some((entry, queue));
            }
        }
        first
    }

    /// The lane whose end comes closest before `deadline`, an empty one, or else the heap.
    #[inline]
    fn queue_for(&self, deadline: u64) -> usize {
        let (mut queue, mut closest) = (HEAP, 0);
        for (lane, &end) in self.ends.iter().enumerate() {
            // An empty lane ends at zero: better than the heap, and worse than any other.
            if end <= deadline && (queue == HEAP || end > closest) {
                (queue, closest) = (lane, end);
            }
        }
        queue
    }

    /// Restores the invariants after a timer of the queue died or its first was taken: drops the
    /// dead entries at both ends, and all there are if they are too many.
    #[inline]
    fn settle(&mut self, queue: usize) {
        match self.lanes.get_mut(queue) {
            Some(lane) => {
                while let Some(&last) = lane.back()
                    && self.slots.free_dead(last)
                {
                    lane.pop_back();
                }
                self.ends[queue] = lane.back().map_or(0, |last| last.deadline);
                while let Some(&first) = lane.front()
                    && self.slots.free_dead(first)
                {
                    lane.pop_front();
                }
            }
            None => {
                while let Some(&last) = self.heap.last()
                    && self.slots.free_dead(last)
                {
                    self.heap.pop();
                }
                while let Some(&first) = self.heap.first()
                    && self.slots.free_dead(first)
                {
                    self.pop_heap();
                }
            }
        }
        if self.slots.dead > COMPACT_FROM && self.slots.dead > self.slots.live {
            self.compact();
        }
    }

    /// Gives the memory of a burst back once its last timer is gone.
    #[inline]
    fn trim(&mut self) {
        if self.slots.live == 0 && self.slots.slots.len() > BURST {
            self.start_anew();
        }
    }

    #[cold]
    fn start_anew(&mut self) {
        // No timer is alive and each queue starts with a live one, so all queues are empty.
        let latest = self.slots.slots.iter().map(|slot| slot.generation).max();
        let fresh = latest.unwrap_or(0).wrapping_add(1);
        *self = Timers::new();
        self.slots.fresh = fresh;
    }

    /// Throws all dead entries out, and memory that a burst has left behind.
    #[cold]
    fn compact(&mut self) {
        for lane in &mut self.lanes {
            lane.retain(|&entry| !self.slots.free_dead(entry));
            lane.shrink_to(lane.len() * 4);
        }
        self.ends = self
            .lanes
            .each_ref()
            .map(|lane| lane.back().map_or(0, |last| last.deadline));
        self.heap.retain(|&entry| !self.slots.free_dead(entry));
        self.heap.shrink_to(self.heap.len() * 4);
        // Every node that has a child, from the last one up.
        for place in (0..self.heap.len().saturating_add(WIDTH - 2) / WIDTH).rev() {
            self.sift_down(place, self.heap[place]);
        }
    }

    /// Starts the sequence anew, so that it never wraps; once in four billion timers.
    #[cold]
    fn renumber(&mut self) {
        self.compact();
        let mut all = std::mem::take(&mut self.heap);
        all.extend(self.lanes.iter_mut().flat_map(|lane| lane.drain(..)));
        all.sort_unstable_by_key(|entry| entry.rank());
        self.sequence = 0;
        self.ends = [0; LANES];
        for entry in all {
            self.slots.slots[entry.slot()].link = LIVE;
            let entry = Entry::new(entry.deadline, self.sequence, entry.slot() as u32);
            self.lanes[0].push_back(entry);
            self.ends[0] = entry.deadline;
            self.sequence += 1;
        }
    }

    /// Takes the top off the heap.
    fn pop_heap(&mut self) {
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.sift_down(0, last);
        }
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
