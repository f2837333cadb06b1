//! What no owner holds: stacks that wait for reuse, and regions that fresh ones are carved from.
//!
//! Stacks are counted where they rest, never where they pass: the live ones are all that were made, less
//! those that rest here or in a cache.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::stack::overflow;
use crate::stack::region::{self, RawSlot, Region, Slot};
use crate::stack::shortage;
use crate::stack::size::{CLASSES, StackSize};
use crate::sys::memory::{self, GuardKind};

/// How many stacks go between a cache and the global list at a time.
pub(super) const BATCH: usize = 128;
/// What a stack keeps at the first trimming: less than this is not worth the faults of the next use.
pub(super) const KEEP: usize = 16 * 1024;

/// The first region of each size; they double from there.
const FIRST_REGION: usize = 4 << 20;
const LARGEST_REGION: usize = 1 << 30;
/// Address space that stacks leave to the heap once it is scarce: an error must still fit.
pub(super) const SPARE: usize = 16 << 20;
/// Mappings that stacks leave to everyone else when each guard costs two of them.
const SPARE_MAPS: usize = 1024;

/// Counts of all stacks in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackStats {
    /// Stacks handed out: each belongs to a coroutine, or was leaked with one that was forgotten.
    pub live: usize,
    /// Stacks that wait for reuse.
    pub cached: usize,
    /// Bytes of address space mapped for stacks; it never falls, and is memory only where it was used.
    pub mapped_bytes: usize,
    /// Mappings made for them.
    pub regions: usize,
    /// How stacks are guarded in this process.
    pub guard: GuardKind,
}

/// Counts all stacks in the process.
///
/// Exact while no other thread makes or drops coroutines; close to it otherwise.
pub fn stats() -> StackStats {
    let guard = memory::guard_kind();
    let global = Global::lock();
    let caches: usize = global.counts.iter().map(|count| count.load(Relaxed)).sum();
    let cached = global.resting.wrapping_add(caches);
    StackStats {
        live: global.carved.saturating_sub(cached),
        cached,
        mapped_bytes: global.mapped,
        regions: region::count(),
        guard,
    }
}

/// What no owner holds.
#[derive(Debug)]
struct Global {
    classes: [Class; CLASSES],
    /// How many stacks rest in each cache.
    counts: Vec<Arc<AtomicUsize>>,
    /// Stacks in the lists of all classes.
    resting: usize,
    /// Stacks ever made; none is unmade.
    carved: usize,
    /// Bytes of all regions.
    mapped: usize,
    /// True once a mapping has failed: from then on some address space is left to the heap.
    scarce: bool,
}

/// The stacks of one size.
#[derive(Debug)]
struct Class {
    /// As their last use left them; the last one was used last.
    warm: VecDeque<Slot>,
    /// Trimmed to a few pages.
    idle: VecDeque<Slot>,
    /// Without memory.
    cold: Vec<Slot>,
    /// Their guard could not be installed.
    unguarded: Vec<RawSlot>,
    region: Option<Region>,
    /// Bytes of the next region.
    next_region: usize,
}

impl Class {
    /// The one that is likeliest to have its memory still.
    fn pop(&mut self) -> Option<Slot> {
        let warm = self.warm.pop_back();
        warm.or_else(|| self.idle.pop_back())
            .or_else(|| self.cold.pop())
    }
}

static GLOBAL: Mutex<Global> = Mutex::new(Global {
    classes: [const {
        Class {
            warm: VecDeque::new(),
            idle: VecDeque::new(),
            cold: Vec::new(),
            unguarded: Vec::new(),
            region: None,
            next_region: FIRST_REGION,
        }
    }; CLASSES],
    counts: Vec::new(),
    resting: 0,
    carved: 0,
    mapped: 0,
    scarce: false,
});

impl Global {
    /// Nothing under this lock calls foreign code; it is held for a batch of moves, or for one mapping.
    fn lock() -> MutexGuard<'static, Global> {
        GLOBAL.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `most` slots that have no guard yet; at least one. They count as made.
    fn carve(&mut self, size: StackSize, most: usize) -> io::Result<Vec<RawSlot>> {
        let class = size.class();
        let kept = self.classes[class].unguarded.len();
        let mut raw = self.classes[class]
            .unguarded
            .split_off(kept.saturating_sub(most));
        while raw.len() < most {
            let slot = self.classes[class].region.as_mut().and_then(Region::carve);
            match slot {
                Some(slot) => raw.push(slot),
                None if raw.is_empty() => self.map_region(size)?,
                None => break,
            }
        }
        self.carved += raw.len();
        Ok(raw)
    }

    /// Maps a region that is as large as it should be, or as large as can be had.
    fn map_region(&mut self, size: StackSize) -> io::Result<()> {
        let class = &mut self.classes[size.class()];
        let stride = region::stride(size);
        let mut slots = (class.next_region / stride).max(1);
        loop {
            let spare = if self.scarce { SPARE } else { 0 };
            match Region::map(size, slots, spare) {
                Ok(region) => {
                    class.region = Some(region);
                    let bytes = slots * stride;
                    class.next_region = (bytes * 2).min(LARGEST_REGION);
                    self.mapped += bytes;
                    return Ok(());
                }
                Err(error)
                    if error.kind() != io::ErrorKind::OutOfMemory
                        || (slots == 1 && self.scarce) =>
                {
                    return Err(error);
                }
                Err(_) => {
                    self.scarce = true;
                    slots = (slots / 2).max(1);
                }
            }
        }
    }
}

/// Takes stacks back that were in use.
pub(super) fn put(class: usize, slots: impl IntoIterator<Item = Slot>) {
    let mut global = Global::lock();
    let list = &mut global.classes[class].warm;
    let before = list.len();
    list.extend(slots);
    let more = list.len() - before;
    global.resting += more;
}

/// Takes stacks back that have been trimmed already.
pub(super) fn put_idle(class: usize, slots: Vec<Slot>) {
    let mut global = Global::lock();
    global.resting += slots.len();
    global.classes[class].idle.extend(slots);
}

/// A number of stacks that `stats` counts as resting: that of a cache, which alone writes it.
pub(super) fn new_count() -> Arc<AtomicUsize> {
    let count = Arc::default();
    Global::lock().counts.push(Arc::clone(&count));
    count
}

/// The cache is no more.
pub(super) fn forget_count(count: &Arc<AtomicUsize>) {
    Global::lock()
        .counts
        .retain(|other| !Arc::ptr_eq(other, count));
}

/// One stack of this size, and more into `cache`: resting ones, or up to `fresh` new ones.
pub(super) fn take(size: StackSize, fresh: usize, cache: &mut Vec<Slot>) -> io::Result<Slot> {
    if let Some(slot) = take_resting(size, cache) {
        return Ok(slot);
    }
    make(size, fresh, cache).or_else(|error| {
        // The last ones may have been on their way from one list to another.
        let _still = TRIMMING.lock();
        take_resting(size, cache).ok_or(error)
    })
}

fn take_resting(size: StackSize, cache: &mut Vec<Slot>) -> Option<Slot> {
    let mut global = Global::lock();
    let class = &mut global.classes[size.class()];
    cache.extend(std::iter::from_fn(|| class.pop()).take(BATCH));
    // The one used last is to be used next: it came first.
    cache.reverse();
    global.resting -= cache.len();
    cache.pop()
}

fn make(size: StackSize, fresh: usize, cache: &mut Vec<Slot>) -> io::Result<Slot> {
    let mut global = Global::lock();
    let made = global.carved;
    check_map_count(size, made)?;
    let raw = global.carve(size, fresh);
    drop(global);
    let raw = raw.map_err(|error| shortage::describe(size, made, error))?;
    overflow::install();
    guard_all(size, raw, cache).map_err(|error| shortage::describe(size, made, error))
}

/// With `mprotect` each guard costs two mappings, and when they run out the heap and new threads fail as
/// well: stop before that.
fn check_map_count(size: StackSize, made: usize) -> io::Result<()> {
    match memory::map_count_limit() {
        Some(limit)
            if memory::guard_kind() == GuardKind::Mprotect && made * 2 + SPARE_MAPS > limit =>
        {
            Err(shortage::out_of_maps(size, made, limit))
        }
        _ => Ok(()),
    }
}

/// Guards fresh slots; the first is the answer, the others go into `cache`. Those that cannot be guarded
/// are kept for another try. An error only when there is none.
fn guard_all(size: StackSize, raw: Vec<RawSlot>, cache: &mut Vec<Slot>) -> io::Result<Slot> {
    let mut refused = Vec::new();
    let mut reason = None;
    for slot in raw {
        match slot.guard() {
            Ok(slot) => cache.push(slot),
            Err((slot, error)) => {
                refused.push(slot);
                reason = Some(error);
            }
        }
    }
    if !refused.is_empty() {
        let mut global = Global::lock();
        global.carved -= refused.len();
        global.classes[size.class()].unguarded.append(&mut refused);
    }
    // Lowest address first, as neighbours have different colours.
    cache.reverse();
    match (cache.pop(), reason) {
        (Some(slot), _) => Ok(slot),
        (None, reason) => Err(reason.unwrap_or_else(|| io::ErrorKind::OutOfMemory.into())),
    }
}

/// Held while some stacks are on their way from one list to another, see `trim`.
static TRIMMING: Mutex<()> = Mutex::new(());

/// Works on up to `most` stacks of each size and each step; nothing while another thread is at it.
///
/// The system calls are made outside the lock on the lists, for a few stacks at a time: a thread that
/// finds a list empty meanwhile makes a few more than needed, or, if it cannot, waits for these.
///
/// True when there is more to be done by another call.
pub(super) fn trim(most: usize) -> bool {
    let Ok(_turn) = TRIMMING.try_lock() else {
        return true;
    };
    for class in 0..CLASSES {
        let (mut idle, mut warm) = {
            let class = &Global::lock().classes[class];
            (class.idle.len().min(most), class.warm.len().min(most))
        };
        while idle + warm > 0 {
            trim_some(class, idle.min(AT_A_TIME), warm.min(AT_A_TIME));
            idle = idle.saturating_sub(AT_A_TIME);
            warm = warm.saturating_sub(AT_A_TIME);
        }
    }
    let global = Global::lock();
    global
        .classes
        .iter()
        .any(|class| !class.idle.is_empty() || !class.warm.is_empty())
}

const AT_A_TIME: usize = 32;

fn trim_some(class: usize, idle: usize, warm: usize) {
    let mut global = Global::lock();
    let lists = &mut global.classes[class];
    // The first ones have rested longest.
    let to_cold: Vec<Slot> = lists.idle.drain(..idle.min(lists.idle.len())).collect();
    let to_idle: Vec<Slot> = lists.warm.drain(..warm.min(lists.warm.len())).collect();
    drop(global);
    to_cold.iter().for_each(|slot| slot.discard_below(0));
    to_idle.iter().for_each(|slot| slot.discard_below(KEEP));
    let mut global = Global::lock();
    global.classes[class].cold.extend(to_cold);
    global.classes[class].idle.extend(to_idle);
}
