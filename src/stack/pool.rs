//! Reuse of stacks: a cache for each owner, in front of the global list.
//!
//! A cache is used last in, first out, without lock or atomic read-modify-write. When it runs empty it
//! takes a batch from the global list, when it is full it puts a batch there.
//!
//! Memory that a burst has left behind is given back in three steps, by `trim`, a bounded amount of work
//! a call: a stack that rests in a cache loses all but its highest pages; if it still rests there at the
//! next call it goes to the global list; what still rests in that list a call later has no memory left.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::stack::global::{self, BATCH, KEEP};
use crate::stack::overflow;
use crate::stack::region::{Slot, Stack};
use crate::stack::size::{CLASSES, StackSize};
#[cfg(feature = "runtime")]
use crate::sys::cpu::prefetch;

/// Stacks of one size that a cache holds at most; half of them go to the global list at a time.
const CACHE: usize = 256;
/// Fresh stacks made at a time, at most: each costs a system call.
const FRESH: usize = 32;
/// Stacks that a call of `trim` works on, of each size and in each place.
const TRIM: usize = 512;
/// Stacks of a size that a cache keeps for ever once it has had them.
const READY: usize = 16;

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

    /// Asks for the memory that the stack will use first which is acquired after so many others.
    #[cfg(feature = "runtime")]
    #[inline]
    pub(crate) fn prefetch(&self, size: StackSize, ahead: usize) {
        let cache = &self.caches[size.class()];
        if let Some(slot) = cache
            .len()
            .checked_sub(ahead + 1)
            .and_then(|n| cache.get(n))
        {
            let base: *const [u8; 64] = std::ptr::without_provenance(slot.base().get());
            for line in -7..1 {
                prefetch(base.wrapping_offset(line));
            }
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

    /// Puts all that rests here into the global list, where others find it; true if there was anything.
    #[cold]
    #[cfg_attr(not(feature = "runtime"), allow(dead_code))]
    pub(crate) fn give_all(&mut self) -> bool {
        let mut given = 0;
        for (class, cache) in self.caches.iter_mut().enumerate() {
            if !cache.is_empty() {
                given += cache.len();
                global::put(class, cache.drain(..));
            }
        }
        self.count_resting(usize::wrapping_sub, given);
        given != 0
    }

    /// Gives back memory that has rested since the last call, and stacks beyond need to the global list.
    ///
    /// Meant for quiet moments, a few times a second at most; it does a bounded amount of work (a
    /// millisecond or so) and goes on with the rest at the next call.
    ///
    /// True when there is more to be done by another call.
    pub(crate) fn trim(&mut self) -> bool {
        let mut has_more = false;
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
            has_more |= cache.len() > READY;
            if !surplus.is_empty() {
                self.count_resting(usize::wrapping_sub, surplus.len());
                global::put_idle(class, surplus);
            }
        }
        global::trim(TRIM) || has_more
    }

    #[cold]
    fn register(&mut self) {
        if self.resting.is_none() {
            self.resting = Some(global::new_count());
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
        let slot = global::take(size, self.fresh, cache)?;
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
        global::put(class, batch);
        self.count_resting(usize::wrapping_sub, BATCH);
        true
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        let Some(resting) = self.resting.take() else {
            return;
        };
        // Until the last line they are counted in both places: fewer live ones for a moment.
        for (class, cache) in self.caches.iter_mut().enumerate() {
            if !cache.is_empty() {
                global::put(class, cache.drain(..));
            }
        }
        global::forget_count(&resting);
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
        global::trim(BATCH / 16);
    }
    if let Some(slot) = slot {
        global::put(slot.size().class(), [slot]);
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
        global::trim(TRIM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corosensei::stack::Stack as _;

    /// Trimming keeps stacks out of the global lists for a moment: tests that count on them take turns.
    static TURNS: std::sync::Mutex<()> = std::sync::Mutex::new(());

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
        let _turn = TURNS.lock();
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
        let _turn = TURNS.lock();
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
