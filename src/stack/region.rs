//! Large mappings, carved into slots: a guard at the low end of each, a label at its high end.
//!
//! ```text
//!   start of slot                                                       start of slot + size
//!   |                                                                                      |
//!   |<- guard ->|<------------------------ usable ---------------------------------------->|
//!   +-----------+------------------------------------------+-------------+-------+---------+
//!   |  faults   |   never touched: costs     ...  frames   |  first      | label | colour  |
//!   |  (16 KiB) |   nothing                  <--- grow     |  frame      | 64 B  | 0-960 B |
//!   +-----------+------------------------------------------+-------------+-------+---------+
//!   ^                                                      |             ^
//!   limit                                                  |             base: given to corosensei
//!                                                          |<-- first page: label, colour, first frames -->|
//! ```
//!
//! The colour is the number of the slot's first page, modulo 16, in cache lines: without it the tops of all
//! stacks fall into the same sets of the cache, and a thousand tasks evict each other.
//!
//! Between two slots a page is left out, of which nothing is ever touched. Were they a power of two apart,
//! the pages that all tasks run on would differ in no low bit of their numbers, and by those the processor
//! finds its places for translations and for the lines of page tables: a few places for all of them.
//!
//! A base is less than a page below the end of its slot, and slots are whole pages: so a slot's bounds
//! follow from its base.
//!
//! Regions are never unmapped, so that `find_guard`, which runs in a signal handler, takes no lock.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::stack::label::{Label, LabelCopy, LabelRecord};
use crate::stack::pool;
use crate::stack::size::{StackSize, guard_size};
use crate::sys::memory;

const COLOURS: usize = 16;
const CACHE_LINE: usize = 64;

/// The memory of one stack, with a guard below it. Not freed on drop: the pool owns it for good.
///
/// There is one `Slot` for a piece of memory at any time, in a list or in a `Stack`.
///
/// One word, as it is pushed and popped on the hottest path:
///
/// | bits | meaning |
/// |---|---|
/// | 6.. | the base: at most 1 KiB below the end of the slot, which is that of a page; a multiple of 64 |
/// | 5 | `used` |
/// | 0-4 | the size, as a power of two |
pub(super) struct Slot(NonZeroUsize);

const SHIFT_BITS: usize = 31;
const USED_BIT: usize = 32;
const ALL_BITS: usize = SHIFT_BITS | USED_BIT;

impl Slot {
    fn new(base: NonZeroUsize, size: StackSize) -> Slot {
        debug_assert_eq!(
            base.get() & ALL_BITS,
            0,
            "a base of stacks is aligned to 64"
        );
        Slot(base | usize::from(size.shift()))
    }

    /// The highest address that frames may use, and the lowest of the label.
    #[inline]
    pub(super) fn base(&self) -> NonZeroUsize {
        let base = self.0.get() & !ALL_BITS;
        // SAFETY: the bits below are no part of the address, which is not null.
        unsafe { NonZeroUsize::new_unchecked(base) }
    }

    #[inline]
    pub(super) fn size(&self) -> StackSize {
        StackSize::from_shift((self.0.get() & SHIFT_BITS) as u8)
    }

    /// True since it was last handed out, until its owner's cache has been trimmed.
    #[inline]
    pub(super) fn is_used(&self) -> bool {
        self.0.get() & USED_BIT != 0
    }

    /// Its owner's cache has been trimmed.
    pub(super) fn mark_unused(&mut self) {
        self.0 = NonZeroUsize::new(self.0.get() & !USED_BIT).unwrap_or(NonZeroUsize::MIN);
    }

    /// The lowest address, where the guard is.
    fn start(&self) -> usize {
        self.end() - self.size().bytes()
    }

    /// The first address above it.
    fn end(&self) -> usize {
        self.base().get().next_multiple_of(memory::page_size())
    }

    #[inline]
    fn label(&self) -> &LabelRecord {
        // SAFETY: `base` is a multiple of 64 with room for a record above, in memory that is never
        // unmapped; the record is made of atomics, for which any bytes are valid.
        unsafe { &*ptr::with_exposed_provenance(self.base().get()) }
    }

    /// Gives back the memory of a stack that nobody uses, but for the highest `keep` bytes.
    pub(super) fn discard_below(&self, keep: usize) {
        let from = self.start() + guard_size();
        let len = (self.end() - from).saturating_sub(keep.next_multiple_of(memory::page_size()));
        // SAFETY: the slot is ours alone and in no `Stack` (that would own it), so no frame lies there.
        unsafe { memory::discard(from, len) };
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Slot({:#x}, {} KiB)",
            self.start(),
            self.size().bytes() / 1024
        )
    }
}

/// The memory of one stack. Dropping it, on any thread, gives it back for reuse.
pub(crate) struct Stack {
    slot: Slot,
}

impl Stack {
    #[inline]
    pub(super) fn new(slot: Slot) -> Stack {
        Stack { slot }
    }

    #[inline]
    #[cfg_attr(not(feature = "runtime"), allow(dead_code))]
    pub(super) fn into_slot(self) -> Slot {
        let slot = self.slot.duplicate();
        std::mem::forget(self);
        slot
    }

    /// Its size, guard included.
    pub(crate) fn size(&self) -> StackSize {
        self.slot.size()
    }

    /// Says who runs on it from now on, for the report of an overflow.
    #[inline]
    pub(crate) fn set_label(&self, label: Label<'_>) {
        self.slot.label().write(&label);
    }

    /// How deep the stack has been used since its memory was last given back (by trimming, or when it
    /// was new), in bytes from its base down to the start of the lowest page that has memory.
    ///
    /// It counts every use in that time, not only the present one, in whole pages; a page that was
    /// swapped out may be missed.
    pub(crate) fn high_water(&self) -> usize {
        let end = self.slot.end();
        let lowest = memory::lowest_resident(self.slot.start() + guard_size(), end);
        self.slot.base().get().saturating_sub(lowest.unwrap_or(end))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        pool::give_back(self.slot.duplicate());
    }
}

impl Slot {
    /// For a `Stack` that is about to be forgotten, or is being dropped.
    #[inline]
    fn duplicate(&self) -> Slot {
        Slot(self.0 | USED_BIT)
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Stack({:#x}, {} KiB)",
            self.slot.start(),
            self.size().bytes() / 1024
        )
    }
}

// SAFETY: the memory between guard and base is mapped, readable, writable, at least 32 KiB, used by
// nobody else while the `Stack` lives, and stays mapped after; the guard was installed before the slot
// was made (`RawSlot::guard`). Both bounds are multiples of 64.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        self.slot.base()
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.slot.start()).unwrap_or(NonZeroUsize::MIN)
    }
}

/// From the start of a slot to that of the next: an odd number of pages, so that all colours have their turn.
pub(super) fn stride(size: StackSize) -> usize {
    size.bytes() + memory::page_size()
}

/// Where frames begin in the slot that starts here. Safe in a signal handler.
fn base_of(start: usize, size: StackSize) -> usize {
    let colour = start / memory::page_size() % COLOURS * CACHE_LINE;
    start + size.bytes() - colour - size_of::<LabelRecord>()
}

/// A slot that has no guard yet, so that nothing may run on it.
#[derive(Debug)]
pub(super) struct RawSlot {
    start: usize,
    size: StackSize,
}

impl RawSlot {
    /// Installs the guard; on failure the slot comes back, to be tried again later.
    pub(super) fn guard(self) -> Result<Slot, (RawSlot, io::Error)> {
        // SAFETY: the slot was carved from a region by `Region::carve`, which gives each out once.
        if let Err(error) = unsafe { memory::guard(self.start, guard_size()) } {
            return Err((self, error));
        }
        let RawSlot { start, size } = self;
        let base = base_of(start, size);
        let base = NonZeroUsize::new(base).unwrap_or(NonZeroUsize::MIN);
        Ok(Slot::new(base, size))
    }
}

/// A mapping that slots are still to be carved from.
#[derive(Debug)]
pub(super) struct Region {
    next: usize,
    end: usize,
    size: StackSize,
}

impl Region {
    /// Maps room for `slots` stacks of `size`. `spare` is left free, see `memory::map`.
    ///
    /// Call it with the lock on the global list held: the table has one writer at a time.
    pub(super) fn map(size: StackSize, slots: usize, spare: usize) -> io::Result<Region> {
        let index = COUNT.load(Ordering::Relaxed);
        let entry = TABLE.get(index).ok_or(io::ErrorKind::QuotaExceeded)?;
        let len = slots
            .checked_mul(stride(size))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let start = memory::map(len, spare)?;
        let end = start + len;
        entry
            .start
            .store(start | usize::from(size.shift()), Ordering::Relaxed);
        entry.end.store(end, Ordering::Relaxed);
        // Pairs with `find_guard`: who sees the count sees the entries below it.
        COUNT.store(index + 1, Ordering::Release);
        Ok(Region {
            next: start,
            end,
            size,
        })
    }

    /// The next slot, while there is one.
    pub(super) fn carve(&mut self) -> Option<RawSlot> {
        if self.next == self.end {
            return None;
        }
        let start = self.next;
        self.next += stride(self.size);
        Some(RawSlot {
            start,
            size: self.size,
        })
    }
}

/// How many regions there can be. They grow to 1 GiB each, so this is no limit unless memory is so short
/// that they are a few slots each; untouched, the table costs nothing.
const MOST_REGIONS: usize = 1 << 14;

/// Every region there is. Entries below `COUNT` never change.
static TABLE: [Entry; MOST_REGIONS] = [const {
    Entry {
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
    }
}; MOST_REGIONS];
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Entry {
    /// The size of a slot, as a power of two, is in the low bits, which are zero in the address.
    start: AtomicUsize,
    end: AtomicUsize,
}

/// How many regions have been mapped.
pub(super) fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// A slot whose guard was touched.
#[derive(Debug)]
pub(super) struct Touched {
    pub(super) size: StackSize,
    pub(super) label: Option<LabelCopy>,
}

/// The slot that an address lies in: its start and its size. Safe in a signal handler.
fn find_slot(address: usize) -> Option<(usize, StackSize)> {
    let regions = &TABLE[..COUNT.load(Ordering::Acquire)];
    regions.iter().find_map(|entry| {
        let start = entry.start.load(Ordering::Relaxed);
        let size = StackSize::from_shift((start & SHIFT_BITS) as u8);
        let region = start & !SHIFT_BITS..entry.end.load(Ordering::Relaxed);
        if !region.contains(&address) {
            return None;
        }
        let offset = (address - region.start) % stride(size);
        (offset < size.bytes()).then(|| (address - offset, size))
    })
}

/// How much of the stack that holds this address is in memory, from its top; and its size.
pub(super) fn use_of(address: usize) -> Option<(usize, StackSize)> {
    let (start, size) = find_slot(address)?;
    let end = start + size.bytes();
    let lowest = memory::lowest_resident(start + guard_size(), end).unwrap_or(end);
    Some((end - lowest, size))
}

/// The slot whose guard holds `address`. Async-signal-safe.
pub(super) fn find_guard(address: usize) -> Option<Touched> {
    let (start, size) = find_slot(address)?;
    if address - start >= guard_size() {
        return None;
    }
    let base = base_of(start, size);
    // SAFETY: as in `Slot::label`: the region is mapped for good.
    let record: &LabelRecord = unsafe { &*ptr::with_exposed_provenance(base) };
    Some(Touched {
        size,
        label: record.read(),
    })
}

impl LabelCopy {
    /// Where it was spawned, and the line.
    pub(super) fn file_and_line(&self) -> Option<(&'static str, u32)> {
        // SAFETY: null, or written from a `&'static Location` (`LabelRecord::write`).
        let place = unsafe { self.place.as_ref() }?;
        Some((place.file(), place.line()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_a_slot_follow_from_its_base_and_neighbours_differ_in_colour() {
        for bytes in [1, 256 << 10, 1 << 30] {
            let size = StackSize::new(bytes).unwrap();
            let first = 3 * memory::page_size();
            let mut colours = Vec::new();
            for start in (0..COLOURS).map(|n| first + n * stride(size)) {
                let base = base_of(start, size);
                let slot = Slot::new(NonZeroUsize::new(base).unwrap(), size);
                assert_eq!((slot.start(), slot.end()), (start, start + size.bytes()));
                assert!(base + size_of::<LabelRecord>() <= slot.end());
                colours.push(slot.end() - base);
            }
            colours.sort_unstable();
            colours.dedup();
            assert_eq!(colours.len(), COLOURS);
        }
    }
}
