//! Reuse of stacks: a cache for each owner, a global list behind them, and fresh ones from regions.
//!
//! A cache is used last in, first out, without lock or atomic read-modify-write. When it runs empty it
//! takes a batch from the global list, when it is full it puts a batch there. Stacks are counted where
//! they rest, never where they pass: live ones are those carved, less those that rest somewhere.
//!
//! Memory that a burst has left behind is given back in three steps, by `trim`, a bounded amount of work
//! a call: a stack that rests in a cache loses all but its highest pages; if it still rests there at the
//! next call it goes to the global list; what still rests in that list a call later has no memory left.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::stack::overflow;
use crate::stack::region::{self, RawSlot, Region, Slot, Stack};
use crate::stack::shortage;
use crate::stack::size::{CLASSES, StackSize};
use crate::sys::memory::{self, GuardKind};

/// Stacks of one size that a cache holds at most; half of them go to the global list at a time.
const CACHE: usize = 256;
const BATCH: usize = CACHE / 2;
/// Fresh stacks made at a time, at most: each costs a system call.
const FRESH: usize = 32;
/// Stacks that a call of `trim` works on, of each size and in each place.
const TRIM: usize = 512;
/// Stacks of a size that a cache keeps for ever once it has had them.
const READY: usize = 16;
/// What a stack keeps at the first trimming: less than this is not worth the faults of the next use.
const KEEP: usize = 16 * 1024;

/// The first region of each size; they double from there.
const FIRST_REGION: usize = 4 << 20;
const LARGEST_REGION: usize = 1 << 30;
/// Address space that stacks leave to the heap once it is scarce: an error must still fit.
pub(super) const SPARE: usize = 1 << 20;
/// Mappings that stacks leave to everyone else when each guard costs two of them.
const SPARE_MAPS: usize = 1024;

/// A cache of stacks with one owner: a worker or a thread.
#[derive(Debug)]
pub(crate) struct StackPool {
    /// By class. The last one is the next to be used.
    caches: [Vec<Slot>; CLASSES],
    /// How many stacks a cache may hold: 0 until the pool has been registered.
    room: usize,
    /// How many fresh stacks to make next time; grows with demand, so that few users map few stacks.
    fresh: usize,
    /// Stacks in all caches together; written by the owner alone, read by `stats`.
    resting: Option<Arc<AtomicUsize>>,
}

impl StackPool {
    /// An empty one; it costs nothing before its first use.
    pub(crate) const fn new() -> StackPool {
        StackPool {
            caches: [const { Vec::new() }; CLASSES],
            room: 0,
            fresh: 1,
            resting: None,
        }
    }

    /// A stack of this size: the last one released, if there is one.
    ///
    /// # Errors
    ///
    /// When none rests anywhere and none can be mapped; the message names the limit that was reached.
    #[inline]
    pub(crate) fn acquire(&mut self, size: StackSize) -> io::Result<Stack> {
        match self.caches[size.class()].pop() {
            Some(slot) => {
                self.count_resting(usize::wrapping_sub, 1);
                Ok(Stack::new(slot))
            }
            None => self.refill(size),
        }
    }

    /// Takes a stack back. Nothing may run on it or point into it.
    #[inline]
    #[cfg_attr(not(feature = "runtime"), allow(dead_code))]
    pub(crate) fn release(&mut self, stack: Stack) {
        self.put(stack.into_slot());
    }

    /// True when the cache was full, so that a batch went to the global list.
    #[inline]
    fn put(&mut self, slot: Slot) -> bool {
        let class = slot.size().class();
        let spilled = self.caches[class].len() >= self.room && self.make_room(class);
        self.caches[class].push(slot);
        self.count_resting(usize::wrapping_add, 1);
        spilled
    }

    #[inline]
    fn count_resting(&self, change: fn(usize, usize) -> usize, by: usize) {
        if let Some(resting) = &self.resting {
            // A load and a store: nobody else writes it.
            resting.store(change(resting.load(Relaxed), by), Relaxed);
        }
    }

    /// Gives back memory that has rested since the last call, and stacks beyond need to the global list.
    ///
    /// Meant for quiet moments, a few times a second at most; it does a bounded amount of work (a
    /// millisecond or so) and goes on with the rest at the next call.
    pub(crate) fn trim(&mut self) {
        for class in 0..CLASSES {
            // Last in, first out: those that were not used since the call before are the first ones.
            let cache = &mut self.caches[class];
            let idle = cache.iter().take_while(|slot| !slot.is_used()).count();
            let idle = idle.min(cache.len().saturating_sub(READY));
            let surplus: Vec<Slot> = cache.drain(..idle).collect();
            for slot in cache.iter_mut().filter(|slot| slot.is_used()) {
                slot.discard_below(KEEP);
                slot.mark_unused();
            }
            if !surplus.is_empty() {
                self.count_resting(usize::wrapping_sub, surplus.len());
                let mut global = Global::lock();
                global.resting += surplus.len();
                global.classes[class].idle.extend(surplus);
            }
        }
        trim_global(TRIM);
    }

    #[cold]
    fn register(&mut self) {
        if self.resting.is_none() {
            let resting = Arc::default();
            Global::lock().pools.push(Arc::clone(&resting));
            self.resting = Some(resting);
            self.room = CACHE;
        }
        // A pool is used where its stacks run.
        overflow::ensure_alt_stack();
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self, size: StackSize) -> io::Result<Stack> {
        if self.resting.is_none() {
            self.register();
        }
        let cache = &mut self.caches[size.class()];
        let slot = take_global(size, self.fresh, cache)?;
        self.fresh = (self.fresh * 2).min(FRESH);
        let taken = cache.len();
        self.count_resting(usize::wrapping_add, taken);
        Ok(Stack::new(slot))
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, class: usize) -> bool {
        if self.resting.is_none() {
            self.register();
            return false;
        }
        let batch = self.caches[class].drain(..BATCH);
        let mut global = Global::lock();
        global.resting += BATCH;
        global.classes[class].warm.extend(batch);
        drop(global);
        self.count_resting(usize::wrapping_sub, BATCH);
        true
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        let Some(resting) = self.resting.take() else {
            return;
        };
        let mut global = Global::lock();
        for (class, cache) in self.caches.iter_mut().enumerate() {
            global.resting += cache.len();
            global.classes[class].warm.extend(cache.drain(..));
        }
        global.pools.retain(|pool| !Arc::ptr_eq(pool, &resting));
    }
}

thread_local! {
    /// The cache of bare coroutines, and of stacks that are dropped instead of released.
    static POOL: RefCell<StackPool> = const { RefCell::new(StackPool::new()) };
}

/// Runs `f` on the cache of this thread; `None` while the thread is ending.
#[inline]
fn with_thread_pool<T>(f: impl FnOnce(&mut StackPool) -> T) -> Option<T> {
    POOL.try_with(|pool| pool.try_borrow_mut().ok().map(|mut pool| f(&mut pool)))
        .ok()
        .flatten()
}

/// A stack for a coroutine outside any worker, from this thread's own cache.
///
/// # Errors
///
/// As `StackPool::acquire`.
#[inline]
pub(crate) fn thread_acquire(size: StackSize) -> io::Result<Stack> {
    match with_thread_pool(|pool| pool.acquire(size)) {
        Some(result) => result,
        // The thread is ending: straight from the global list.
        None => StackPool::new().acquire(size),
    }
}

/// Takes back a stack that was dropped, wherever that was.
pub(super) fn give_back(slot: Slot) {
    let mut slot = Some(slot);
    let spilled = with_thread_pool(|pool| slot.take().is_some_and(|slot| pool.put(slot)));
    if spilled == Some(true) {
        // A thread without a scheduler has no quiet moment: it pays for its bursts here.
        trim_global(BATCH / 16);
    }
    if let Some(slot) = slot {
        let mut global = Global::lock();
        global.resting += 1;
        global.classes[slot.size().class()].warm.push_back(slot);
    }
}

/// Gives back memory of stacks that nobody uses: those of this thread and those that no thread holds.
///
/// Workers of a runtime do so by themselves, in quiet moments. A thread that runs only bare coroutines
/// has none; after a burst of them, or of deep recursion in them, call this a few times: each call does a
/// bounded amount of work, and takes the last of a stack's memory only if it has rested since the call
/// before.
pub fn trim() {
    if with_thread_pool(StackPool::trim).is_none() {
        trim_global(TRIM);
    }
}

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
    let pools: usize = global.pools.iter().map(|pool| pool.load(Relaxed)).sum();
    let cached = global.resting.wrapping_add(pools);
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
    /// The counts of all registered pools.
    pools: Vec<Arc<AtomicUsize>>,
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
    pools: Vec::new(),
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
        let mut slots = (class.next_region / size.bytes()).max(1);
        loop {
            let spare = if self.scarce { SPARE } else { 0 };
            match Region::map(size, slots, spare) {
                Ok(region) => {
                    class.region = Some(region);
                    let bytes = slots * size.bytes();
                    class.next_region = (bytes * 2).clamp(size.bytes(), LARGEST_REGION);
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

/// One stack of this size, and more into `cache`: resting ones, or up to `fresh` new ones.
fn take_global(size: StackSize, fresh: usize, cache: &mut Vec<Slot>) -> io::Result<Slot> {
    let mut global = Global::lock();
    let class = &mut global.classes[size.class()];
    for _ in 0..BATCH {
        match class
            .warm
            .pop_back()
            .or_else(|| class.idle.pop_back())
            .or_else(|| class.cold.pop())
        {
            Some(slot) => cache.push(slot),
            None => break,
        }
    }
    // The one used last is to be used next.
    cache.reverse();
    global.resting -= cache.len();
    if let Some(slot) = cache.pop() {
        return Ok(slot);
    }
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

/// Works on up to `most` stacks of each size and each step that no owner holds.
fn trim_global(most: usize) {
    for class in 0..CLASSES {
        let mut global = Global::lock();
        let Class { warm, idle, .. } = &mut global.classes[class];
        if warm.is_empty() && idle.is_empty() {
            continue;
        }
        let to_cold: Vec<Slot> = idle.drain(..most.min(idle.len())).collect();
        let to_idle: Vec<Slot> = warm.drain(..most.min(warm.len())).collect();
        drop(global);
        to_cold.iter().for_each(|slot| slot.discard_below(0));
        to_idle.iter().for_each(|slot| slot.discard_below(KEEP));
        let mut global = Global::lock();
        let class = &mut global.classes[class];
        class.cold.extend(to_cold);
        class.idle.extend(to_idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corosensei::stack::Stack as _;

    fn acquire(pool: &mut StackPool) -> Stack {
        pool.acquire(StackSize::DEFAULT).expect("a stack")
    }

    #[test]
    fn the_stack_released_last_is_handed_out_first() {
        let mut pool = StackPool::new();
        let (first, second) = (acquire(&mut pool), acquire(&mut pool));
        let (first_base, second_base) = (first.base(), second.base());
        pool.release(first);
        pool.release(second);
        assert_eq!(acquire(&mut pool).base(), second_base);
        let reused = acquire(&mut pool);
        // The one above was dropped: it is in this thread's own cache, not in `pool`.
        assert_eq!(reused.base(), first_base);
    }

    #[test]
    fn sizes_do_not_mix() {
        let mut pool = StackPool::new();
        let small = StackSize::new(1).expect("a size");
        let stack = pool.acquire(small).expect("a stack");
        let base = stack.base();
        pool.release(stack);
        let other = acquire(&mut pool);
        assert_ne!(other.base(), base);
        assert_eq!(other.size(), StackSize::DEFAULT);
        assert_eq!(pool.acquire(small).expect("a stack").base(), base);
    }

    #[test]
    fn a_full_cache_puts_a_batch_into_the_global_list_and_an_empty_one_takes_it() {
        // A size of its own, as other tests use the global lists at the same time.
        let size = StackSize::new(5 << 20).expect("a size");
        let mut pool = StackPool::new();
        let stacks: Vec<Stack> = (0..CACHE + 1)
            .map(|_| pool.acquire(size).expect("a stack"))
            .collect();
        let mut known: Vec<_> = stacks.iter().map(|stack| stack.base()).collect();
        known.extend(pool.caches[size.class()].iter().map(|slot| slot.base()));
        stacks.into_iter().for_each(|stack| pool.release(stack));
        assert!(pool.caches[size.class()].len() <= CACHE);
        let mut other = StackPool::new();
        let mut seen = vec![other.acquire(size).expect("a stack").into_slot()];
        assert_eq!(other.caches[size.class()].len(), BATCH - 1);
        seen.append(&mut other.caches[size.class()]);
        assert!(seen.iter().all(|slot| known.contains(&slot.base())));
    }

    #[test]
    fn tops_of_neighbours_lie_in_different_cache_sets() {
        let mut pool = StackPool::new();
        let size = StackSize::new(100_000).expect("a size");
        let stacks: Vec<Stack> = (0..16)
            .map(|_| pool.acquire(size).expect("a stack"))
            .collect();
        let mut offsets: Vec<_> = stacks
            .iter()
            .map(|stack| stack.base().get() % 4096)
            .collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets.len(), 16);
        assert!(offsets[0] >= 4096 - 1024 && offsets.iter().all(|offset| offset % 64 == 0));
    }

    #[test]
    fn resting_stacks_lose_their_depth_and_then_leave_the_cache() {
        let mut pool = StackPool::new();
        let size = StackSize::new(9 << 20).expect("a size");
        let others: Vec<Stack> = (0..READY)
            .map(|_| pool.acquire(size).expect("a stack"))
            .collect();
        let stack = pool.acquire(size).expect("a stack");
        assert_eq!(stack.high_water(), 0);
        let mut coroutine = corosensei::Coroutine::<(), (), (), _>::with_stack(stack, |_, ()| {
            std::hint::black_box([1_u8; 200_000]);
        });
        coroutine.resume(());
        let stack = coroutine.into_stack();
        assert!(stack.high_water() >= 200_000, "{}", stack.high_water());
        pool.release(stack);
        pool.trim();
        let stack = pool.acquire(size).expect("a stack");
        assert!(
            (1..=KEEP).contains(&stack.high_water()),
            "{}",
            stack.high_water()
        );
        let base = stack.base();
        pool.caches[size.class()].clear();
        pool.release(stack);
        others.into_iter().for_each(|other| pool.release(other));
        pool.trim();
        assert_eq!(pool.caches[size.class()].len(), READY + 1);
        pool.trim();
        assert_eq!(pool.caches[size.class()].len(), READY);
        pool.trim();
        // The one that was used longest ago went, and what it was made of.
        let stack = StackPool::new().acquire(size).expect("a stack");
        assert_eq!((stack.base(), stack.high_water()), (base, 0));
    }
}
