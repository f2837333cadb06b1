//! The smallest first, the older one first among equals, whatever the comparisons do.
//!
//! A comparison is the user's code: it may take long, wait, panic, be cancelled where it waits, or come back
//! to the very queue that asked. So none runs inside the queue's latch, and a put runs none at all:
//!
//! * `push` adds to a list of *arrivals*, inside the latch.
//! * `choose` holds a green [`Mutex`], whose waiters park, fetches the arrivals, sorts them into the heap and
//!   takes the smallest.
//!
//! Every step of the heap compares first and moves afterwards. A panic in a comparison thus finds the heap as
//! it was before the step, with all its items, and so does the next caller. The mutex' poison says nothing
//! here and is ignored.
//!
//! A comparison that puts into its own queue adds an arrival. One that takes from its own queue would wait
//! for itself, and panics instead.

use std::cmp::Ordering as Order3;
use std::collections::VecDeque;
use std::mem;
use std::sync::{PoisonError, TryLockError};

use crate::base::primitive::{AtomicU64, Ordering};
use crate::scheduler::park;
use crate::sync::{Mutex, MutexGuard};

use super::order::Order;

/// Smallest first.
#[derive(Debug)]
pub(super) struct Smallest<T> {
    heap: Mutex<Heap<T>>,
    /// Who holds `heap`, or 0. Only the holder writes it, so whoever reads its own mark holds `heap`.
    chooser: AtomicU64,
}

/// Items by their order. Invariants: an entry is not smaller than its parent, which stands at `(at - 1) / 2`, if
/// the comparisons are consistent; no entry is ever lost, whatever they are.
#[derive(Debug)]
struct Heap<T> {
    sorted: Vec<Entry<T>>,
    /// Not in `sorted` yet; the oldest first. Empty between calls, except after a panic.
    unsorted: VecDeque<T>,
    /// Empty; its memory goes to the arrivals.
    spare: Vec<T>,
    /// Given to the next entry.
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    /// In the order of the puts: decides among equals.
    number: u64,
}

impl<T> Default for Smallest<T> {
    fn default() -> Self {
        Smallest {
            heap: Mutex::new(Heap::new()),
            chooser: AtomicU64::new(0),
        }
    }
}

impl<T: Ord> Order<T> for Smallest<T> {
    /// The arrivals, the oldest first.
    type Store = Vec<T>;

    #[inline]
    fn push(store: &mut Vec<T>, item: T) {
        store.push(item);
    }

    #[inline]
    fn pop(_: &mut Vec<T>) -> Option<T> {
        None
    }

    #[track_caller]
    fn choose(&self, fetch: impl FnOnce(&mut Vec<T>) -> bool) -> Option<T> {
        let mut choosing = self.begin();
        let heap = &mut *choosing.heap;
        if !fetch(&mut heap.spare) {
            return None;
        }
        heap.unsorted.extend(heap.spare.drain(..));
        while heap.sort_one() {}
        heap.pop()
    }

    fn clear(&self) {
        let mut heap = match self.heap.try_lock() {
            Ok(heap) => heap,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            // Whoever holds it clears when it has let go of it.
            Err(TryLockError::WouldBlock) => return,
        };
        let items = mem::replace(&mut *heap, Heap::new());
        drop(heap);
        drop(items);
    }
}

impl<T> Smallest<T> {
    #[track_caller]
    fn begin(&self) -> Choosing<'_, T> {
        let me = whoever_runs();
        // Relaxed: see the field.
        assert!(
            self.chooser.load(Ordering::Relaxed) != me,
            "a comparison takes from the PriorityQueue that it sorts"
        );
        let heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        self.chooser.store(me, Ordering::Relaxed);
        Choosing {
            chooser: &self.chooser,
            heap,
        }
    }
}

/// The right to the heap; given up on every way out, in the order of `drop` and the fields.
struct Choosing<'a, T> {
    chooser: &'a AtomicU64,
    heap: MutexGuard<'a, Heap<T>>,
}

impl<T> Drop for Choosing<'_, T> {
    fn drop(&mut self) {
        self.chooser.store(0, Ordering::Relaxed);
    }
}

/// A number for the running task, or for this thread where no task runs; never 0.
fn whoever_runs() -> u64 {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    match park::current_id() {
        // No two threads have their locals in one place at one time. Tasks' numbers are not that high.
        0 => HERE.with(|here| std::ptr::from_ref(here).addr() as u64 | 1 << 63),
        id => id,
    }
}

impl<T> Heap<T> {
    const fn new() -> Self {
        Heap {
            sorted: Vec::new(),
            unsorted: VecDeque::new(),
            spare: Vec::new(),
            next: 0,
        }
    }
}

impl<T: Ord> Heap<T> {
    /// Sorts the oldest of the unsorted in; false when there is none.
    fn sort_one(&mut self) -> bool {
        let Some(item) = self.unsorted.front() else {
            return false;
        };
        // It is younger than all that are sorted: among equals it goes below.
        let mut place = self.sorted.len();
        while place > 0 && *item < self.sorted[parent(place)].item {
            place = parent(place);
        }
        // From here on nothing is compared.
        let number = self.next;
        self.next += 1;
        let mut at = self.sorted.len();
        let item = self.unsorted.pop_front();
        self.sorted.extend(item.map(|item| Entry { item, number }));
        while at != place {
            self.sorted.swap(at, parent(at));
            at = parent(at);
        }
        true
    }

    /// Takes the smallest out.
    fn pop(&mut self) -> Option<T> {
        let last = self.sorted.len().checked_sub(1)?;
        // The last entry goes to the top, and from there down along this path.
        let mut path = Path::default();
        let mut at = 0;
        while let Some(child) = self.lesser_child(at, last) {
            if !self.sorted[child].is_before(&self.sorted[last]) {
                break;
            }
            path.step_to(child);
            at = child;
        }
        // From here on nothing is compared.
        let smallest = self.sorted.swap_remove(0);
        let mut at = 0;
        for child in path.places() {
            self.sorted.swap(at, child);
            at = child;
        }
        Some(smallest.item)
    }

    /// Of those before `end`.
    fn lesser_child(&self, at: usize, end: usize) -> Option<usize> {
        let left = 2 * at + 1;
        let right = left + 1;
        if left >= end {
            return None;
        }
        let takes_right = right < end && self.sorted[right].is_before(&self.sorted[left]);
        Some(if takes_right { right } else { left })
    }
}

impl<T: Ord> Entry<T> {
    fn is_before(&self, other: &Self) -> bool {
        match self.item.cmp(&other.item) {
            Order3::Less => true,
            Order3::Equal => self.number < other.number,
            Order3::Greater => false,
        }
    }
}

fn parent(at: usize) -> usize {
    (at - 1) / 2
}

/// A way down a heap from its top: fewer steps than a `usize` has bits, left or right.
#[derive(Clone, Copy, Default)]
struct Path {
    /// A bit for each step, set for a step to the right.
    rights: usize,
    len: u32,
}

impl Path {
    fn step_to(&mut self, child: usize) {
        // Right children have even places.
        self.rights |= usize::from(child.is_multiple_of(2)) << self.len;
        self.len += 1;
    }

    /// The places it comes through, without the top.
    fn places(self) -> impl Iterator<Item = usize> {
        (0..self.len).scan(0, move |at, step| {
            *at = 2 * *at + 1 + (self.rights >> step & 1);
            Some(*at)
        })
    }
}
