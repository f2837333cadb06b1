//! The queue of one worker's tasks that have not started: its owner works at both ends, thieves take from the front.
//!
//! A work-stealing deque after Chase and Lev, "Dynamic Circular Work-Stealing Deque" (SPAA 2005), with
//! the orderings of Lê, Pop, Cohen and Zappa Nardelli, "Correct and Efficient Work-Stealing for Weak
//! Memory Models" (PPoPP 2013). New here: the owner may take from the front as well (tasks start in the
//! order they were spawned), and a deque without thieves does no locked instruction at all.
//!
//! ```text
//!                 head                         tail
//!                  |                            |
//!   ring  . . . .  [ oldest | ...    | newest ] . . . .
//!        thieves, take_front -->       <-- push, pop_back
//! ```
//!
//! # Invariants
//!
//! 1. `head` only grows, by compare-and-swap (by a plain store if there is no thief): one at a time, or by
//!    the owner up to `tail`. The item of index `i` belongs to whoever moved `head` from `i` or less to
//!    more than `i`, or to a `pop_back` that lowered `tail` to `i` and then saw `head < i`.
//! 2. `tail` is written by the owner alone. `head <= tail`, but for the moment in `pop_back` in which
//!    `tail` is one too low on an empty deque; a reader takes `tail <= head` as empty.
//! 3. Indices are 64 bits wide and never wrap: at one item a nanosecond they last 584 years. Only this
//!    makes 1 safe from ABA.
//! 4. Slot `i & mask` of the current ring holds item `i` for every `i` in `head..tail`. It is written
//!    over (by item `i + capacity`) only after the owner has seen `head > i`.
//! 5. A ring is never written to after the next one has been published, and is freed with the deque,
//!    not before: a slow thief may read it for as long as it holds a `Stealer`. Capacities double, so
//!    the old rings together are smaller than the current one.
//!
//! # Why each item is delivered once
//!
//! *Front against front* (thief and thief, thief and `take_front` or `retain`): both want to move `head`
//! on from `i`, and by 3 only one of these exchanges can succeed. What the winner read from the slot is
//! item `i`: had the slot been written over, the owner would have seen `head > i` (4), so another would
//! have made the exchange. The owner's look at `head` acquires, and the exchange releases, so that a
//! winner's read of the slot comes before the owner's next write to it.
//!
//! *Front against back.* The owner lowers `tail` to `i`, fences, reads `head`; a thief reads `head`,
//! fences, reads `tail`. Sequentially consistent fences have one order. If the owner's is first, the
//! thief sees `tail <= i` (or an item pushed since, which is a new item `i`) and leaves `i` alone. If
//! the thief's is first, the owner sees a `head` at least as new as the thief saw: were the thief about
//! to take `i`, the owner would see `head >= i`, and then it fights for `i` by compare-and-swap, which
//! is the case above. That holds for one item an exchange only: a thief that took several at once
//! could run into a `pop_back` that saw `head < i`. So a batch is taken by as many exchanges.
//!
//! *Contents.* What the spawner wrote to the item is seen by the thief since every store to `tail`
//! releases (also those of `pop_back`: a plain one would cut the thief off from the push before it)
//! and the thief's load of `tail` acquires. No fence is needed for this, so ThreadSanitizer, which
//! knows none, is content.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::base::primitive::{Arc, AtomicPtr, AtomicU64, Ordering, Padded, fence};

/// Slots of a new deque; a power of two, as all capacities are.
const FIRST_CAPACITY: usize = 256;

/// The most one `steal_batch_into` takes: enough to be worth the trip, few enough to leave others some.
const BATCH: u64 = 32;

/// What a deque can hold: an owned thing that fits into one pointer.
pub(crate) trait Word: Send + Sized {
    /// Gives up `self` for a word that owns it.
    fn into_word(self) -> NonNull<()>;

    /// The word that `into_word` would give.
    fn as_word(&self) -> NonNull<()>;

    /// Takes back what `into_word` gave up.
    ///
    /// # Safety
    ///
    /// `word` came out of `into_word` of the same type and is handed over once.
    unsafe fn from_word(word: NonNull<()>) -> Self;
}

impl<T: Send> Word for Box<T> {
    fn as_word(&self) -> NonNull<()> {
        NonNull::from(&**self).cast()
    }

    fn into_word(self) -> NonNull<()> {
        NonNull::from(Box::leak(self)).cast()
    }

    unsafe fn from_word(word: NonNull<()>) -> Self {
        // SAFETY: by the caller's promise `word` is a leaked box of this type that nobody else owns.
        unsafe { Box::from_raw(word.cast().as_ptr()) }
    }
}

impl<T: Send + Sync> Word for std::sync::Arc<T> {
    fn as_word(&self) -> NonNull<()> {
        NonNull::from(&**self).cast()
    }

    fn into_word(self) -> NonNull<()> {
        // SAFETY: a pointer out of `into_raw` is never null.
        unsafe { NonNull::new_unchecked(std::sync::Arc::into_raw(self).cast_mut().cast()) }
    }

    unsafe fn from_word(word: NonNull<()>) -> Self {
        // SAFETY: by the caller's promise `word` came out of `into_raw` and carries one count.
        unsafe { std::sync::Arc::from_raw(word.cast().as_ptr()) }
    }
}

/// What became of an attempt to steal.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Steal<T> {
    /// The thief has it now, alone.
    Taken(T),
    /// Nothing was there.
    Empty,
    /// Another was faster; there may be more.
    Retry,
}

/// A deque that thieves may share: its owner's end and the first stealer, to be cloned.
pub(crate) fn shared<T: Word>() -> (Owner<T>, Stealer<T>) {
    with_capacity(FIRST_CAPACITY)
}

/// A deque that nobody can steal from, for a runtime of one worker: no locked instruction anywhere.
pub(crate) fn alone<T: Word>() -> Owner<T> {
    Owner {
        alone: true,
        ..with_capacity(FIRST_CAPACITY).0
    }
}

/// As `shared`; a model or a test starts small in order to see it grow.
pub(crate) fn with_capacity<T: Word>(capacity: usize) -> (Owner<T>, Stealer<T>) {
    let ring = Ring::allocate(capacity.next_power_of_two(), None);
    let inner = Arc::new(Inner {
        head: Padded(AtomicU64::new(0)),
        tail: Padded(AtomicU64::new(0)),
        ring: AtomicPtr::new(ring.as_ptr()),
        items: PhantomData,
    });
    let owner = Owner {
        inner: inner.clone(),
        tail: Cell::new(0),
        head_seen: Cell::new(0),
        ring: Cell::new(ring),
        alone: false,
    };
    (owner, Stealer { inner })
}

/// The slots, as a link of the chain of all rings the deque ever had.
struct Ring {
    /// `capacity - 1`.
    mask: u64,
    slots: Box<[AtomicPtr<()>]>,
    /// The ring before, kept for slow thieves. Owned: freed when the deque is.
    older: Option<NonNull<Ring>>,
}

impl Ring {
    fn allocate(capacity: usize, older: Option<NonNull<Ring>>) -> NonNull<Ring> {
        debug_assert!(capacity.is_power_of_two());
        let slots = (0..capacity)
            .map(|_| AtomicPtr::new(std::ptr::null_mut()))
            .collect();
        NonNull::from(Box::leak(Box::new(Ring {
            mask: capacity as u64 - 1,
            slots,
            older,
        })))
    }

    #[inline]
    fn slot(&self, index: u64) -> &AtomicPtr<()> {
        // SAFETY: the mask is the number of slots less one.
        unsafe { self.slots.get_unchecked((index & self.mask) as usize) }
    }
}

/// What owner and thieves share.
struct Inner<T: Word> {
    /// The oldest item. Invariant 1.
    head: Padded<AtomicU64>,
    /// One past the newest item. Written by the owner alone, always releasing. Invariant 2.
    tail: Padded<AtomicU64>,
    /// The current ring; always valid. Written by the owner alone. Invariant 5.
    ring: AtomicPtr<Ring>,
    /// The slots own their items.
    items: PhantomData<T>,
}

impl<T: Word> Inner<T> {
    /// One attempt to move `head` from `index` on; who succeeds owns the item.
    #[inline]
    fn claim(&self, index: u64) -> bool {
        // Release: our read of the slot comes before the owner's next write to it (its acquiring load
        // in `make_room`). Nothing is learnt from a failure.
        let moved =
            self.head
                .compare_exchange(index, index + 1, Ordering::Release, Ordering::Relaxed);
        moved.is_ok()
    }
}

impl<T: Word> Drop for Inner<T> {
    fn drop(&mut self) {
        // Relaxed: the count of the `Arc` orders everybody's last access before this.
        let (head, tail) = (
            self.head.load(Ordering::Relaxed),
            self.tail.load(Ordering::Relaxed),
        );
        let current = NonNull::new(self.ring.load(Ordering::Relaxed));
        for index in head..tail {
            // SAFETY: the current ring is valid (5) and nobody else is left to use it.
            let word = unsafe { current.expect("a ring").as_ref() }
                .slot(index)
                .load(Ordering::Relaxed);
            // SAFETY: slots of `head..tail` hold items that nobody was given (4).
            drop(unsafe { T::from_word(NonNull::new_unchecked(word)) });
        }
        let mut next = current;
        while let Some(ring) = next {
            // SAFETY: every ring of the chain came out of `Box::leak` and is met once.
            next = unsafe { Box::from_raw(ring.as_ptr()) }.older;
        }
    }
}

/// The worker's end. There is one; it may be sent to the worker's thread but not shared.
pub(crate) struct Owner<T: Word> {
    inner: Arc<Inner<T>>,
    /// The same as `inner.tail`, which nobody else writes.
    tail: Cell<u64>,
    /// `head` as last seen, so never more than `head`: spares `push` the line that thieves write to.
    head_seen: Cell<u64>,
    /// The same as `inner.ring`, which nobody else writes.
    ring: Cell<NonNull<Ring>>,
    /// No stealer exists, nor can one be made.
    alone: bool,
}

// SAFETY: items are `Send` (a bound of `Word`), and all else an owner holds is atomics behind an `Arc`,
// plain numbers, and a pointer into memory that this `Arc` keeps.
unsafe impl<T: Word> Send for Owner<T> {}

impl<T: Word> Owner<T> {
    #[inline]
    fn ring(&self) -> &Ring {
        // SAFETY: rings live as long as `inner` (5), which `self` holds.
        unsafe { self.ring.get().as_ref() }
    }

    /// Adds a newest item; amortised constant, and no locked instruction.
    #[inline]
    pub(crate) fn push(&self, item: T) {
        let tail = self.tail.get();
        if tail - self.head_seen.get() > self.ring().mask {
            self.make_room(tail);
        }
        // Relaxed: published by the store to `tail`.
        self.ring()
            .slot(tail)
            .store(item.into_word().as_ptr(), Ordering::Relaxed);
        self.set_tail(tail + 1);
    }

    #[inline]
    fn set_tail(&self, tail: u64) {
        self.tail.set(tail);
        // Release: pairs with the thieves' acquiring loads; whoever sees this index sees the item.
        self.inner.tail.store(tail, Ordering::Release);
    }

    /// Looks at `head` again, and doubles the ring if it is full indeed.
    #[cold]
    fn make_room(&self, tail: u64) {
        // Acquire: pairs with `claim`; slots below have been read before we write over them.
        let head = self.inner.head.load(Ordering::Acquire);
        self.head_seen.set(head);
        let old = self.ring();
        if tail - head <= old.mask {
            return;
        }
        // Kept for slow thieves, if there can be any.
        let older = (!self.alone).then(|| self.ring.get());
        let new = Ring::allocate(old.slots.len() * 2, older);
        for index in head..tail {
            // SAFETY: just made, and leaked: valid until the deque is dropped.
            let to = unsafe { new.as_ref() }.slot(index);
            to.store(old.slot(index).load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let old = self.ring.replace(new);
        // Release: pairs with the thieves' acquiring load of the pointer; they see the copied slots.
        self.inner.ring.store(new.as_ptr(), Ordering::Release);
        if self.alone {
            // SAFETY: made by `Ring::allocate`, no longer current, not in the chain of the new one, and
            // nobody but this owner ever reads rings of a deque without stealers.
            drop(unsafe { Box::from_raw(old.as_ptr()) });
        }
    }

    /// Takes the oldest item.
    #[inline]
    pub(crate) fn take_front(&self) -> Option<T> {
        let tail = self.tail.get();
        loop {
            // Relaxed: the items up to `tail` were written by this thread.
            let head = self.inner.head.load(Ordering::Relaxed);
            if head >= tail {
                return None;
            }
            let word = self.ring().slot(head).load(Ordering::Relaxed);
            if self.alone {
                self.inner.head.store(head + 1, Ordering::Relaxed);
            } else if !self.inner.claim(head) {
                continue;
            }
            // SAFETY: this thread moved `head` past the item, so it is ours alone (1).
            return Some(unsafe { T::from_word(NonNull::new_unchecked(word)) });
        }
    }

    /// Takes the newest item.
    #[inline]
    pub(crate) fn pop_back(&self) -> Option<T> {
        let tail = self.tail.get();
        // `head` only grows: what looks empty is, and the fence is spared.
        if self.inner.head.load(Ordering::Relaxed) >= tail {
            return None;
        }
        let last = tail - 1;
        self.set_tail(last);
        if self.alone {
            return Some(self.word_at(last));
        }
        // Between our store to `tail` and our load of `head`; pairs with the fence in `ends`.
        fence(Ordering::SeqCst);
        let head = self.inner.head.load(Ordering::Relaxed);
        if head < last {
            return Some(self.word_at(last));
        }
        // The last item, if it is there still: fought for at the front. `tail` goes back up either way,
        // so that it never falls below `head` for good.
        let item = (head == last && self.inner.claim(last)).then(|| self.word_at(last));
        self.set_tail(tail);
        item
    }

    /// Whether this is the oldest item, as far as can be said without taking it.
    #[inline]
    pub(crate) fn is_front(&self, item: &T) -> bool {
        let head = self.inner.head.load(Ordering::Relaxed);
        head < self.tail.get() && self.is_at(head, item)
    }

    /// Where the item is that stands so far behind the oldest; not to be followed, for a thief may have it.
    #[inline]
    pub(crate) fn ahead(&self, ahead: u64) -> *const () {
        let index = self.inner.head.load(Ordering::Relaxed) + ahead;
        if index >= self.tail.get() {
            return std::ptr::null();
        }
        self.ring().slot(index).load(Ordering::Relaxed)
    }

    /// Whether this is the newest item, as far as can be said without taking it.
    #[inline]
    pub(crate) fn is_back(&self, item: &T) -> bool {
        let tail = self.tail.get();
        self.inner.head.load(Ordering::Relaxed) < tail && self.is_at(tail - 1, item)
    }

    #[inline]
    fn is_at(&self, index: u64, item: &T) -> bool {
        // Compared, not followed: a thief may have the item already.
        self.ring().slot(index).load(Ordering::Relaxed) == item.as_word().as_ptr()
    }

    /// Drops the items that `keep` does not want; the others stay, in order.
    ///
    /// Thieves find nothing meanwhile, and may fall asleep over it: tell one afterwards. `keep`, and what
    /// is dropped, may use the deque, and may panic: by then its items are out of it.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&T) -> bool) {
        let items = self.take_all();
        for item in items {
            if keep(&item) {
                self.push(item);
            }
        }
    }

    /// Takes all items by one step of `head`. One exchange may do for many here, unlike in a batch: the
    /// only `pop_back` it could run into is our own.
    fn take_all(&self) -> Vec<T> {
        let tail = self.tail.get();
        let mut head = self.inner.head.load(Ordering::Relaxed);
        if self.alone {
            self.inner.head.store(tail, Ordering::Relaxed);
        } else {
            while head < tail {
                // As in `claim`; and an owner's own reads are in order with its own writes.
                let (release, relaxed) = (Ordering::Release, Ordering::Relaxed);
                match self
                    .inner
                    .head
                    .compare_exchange(head, tail, release, relaxed)
                {
                    Ok(_) => break,
                    Err(now) => head = now,
                }
            }
        }
        (head..tail).map(|index| self.word_at(index)).collect()
    }

    /// The item of an index that this thread has just made its own.
    #[inline]
    fn word_at(&self, index: u64) -> T {
        let word = self.ring().slot(index).load(Ordering::Relaxed);
        // SAFETY: callers have claimed the index (1), and the slot holds its item (4).
        unsafe { T::from_word(NonNull::new_unchecked(word)) }
    }

    /// How many items there are; thieves may be making it fewer.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tail
            .get()
            .saturating_sub(self.inner.head.load(Ordering::Relaxed)) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Word> fmt::Debug for Owner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner")
            .field("len", &self.len())
            .field("alone", &self.alone)
            .finish()
    }
}

/// The thieves' end; each worker holds one of every other worker's.
pub(crate) struct Stealer<T: Word> {
    inner: Arc<Inner<T>>,
}

// SAFETY: a stealer reaches items by value only (they are `Send`), and all else through atomics.
unsafe impl<T: Word> Send for Stealer<T> {}
// SAFETY: as above; no method keeps state outside the atomics.
unsafe impl<T: Word> Sync for Stealer<T> {}

impl<T: Word> Clone for Stealer<T> {
    fn clone(&self) -> Self {
        Stealer {
            inner: self.inner.clone(),
        }
    }
}

impl<T: Word> Stealer<T> {
    /// Both ends as they were a moment ago: `head` first, and a fence between.
    #[inline]
    fn ends(&self) -> (u64, u64) {
        // Acquire: as in the paper. A `head` moved by another thief says that it is done with the slot.
        let head = self.inner.head.load(Ordering::Acquire);
        // Between our load of `head` and our load of `tail`; pairs with the fence in `pop_back`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with `set_tail`; the items below `tail` are seen, and their ring.
        (head, self.inner.tail.load(Ordering::Acquire))
    }

    /// Takes the item at `head`, which the caller has seen to be below `tail`.
    #[inline]
    fn take(&self, head: u64) -> Steal<T> {
        // Acquire: pairs with `make_room`. May be older than the newest ring, never older than the one
        // in which the caller's `tail` was stored; the item is in it, or `claim` fails (4, 5).
        let ring = self.inner.ring.load(Ordering::Acquire);
        // SAFETY: rings live as long as `inner` (5), which `self` holds.
        let word = unsafe { &*ring }.slot(head).load(Ordering::Relaxed);
        if !self.inner.claim(head) {
            return Steal::Retry;
        }
        // SAFETY: this thread moved `head` past the item, so it is ours alone (1), and `word` is that
        // item (4): pointers in slots that were ever written are never null.
        Steal::Taken(unsafe { T::from_word(NonNull::new_unchecked(word)) })
    }

    /// Takes the oldest item.
    pub(crate) fn steal(&self) -> Steal<T> {
        let (head, tail) = self.ends();
        if head < tail {
            self.take(head)
        } else {
            Steal::Empty
        }
    }

    /// Takes the older half, at most 32 items: the oldest is given back to be run at once, the rest goes
    /// to the end of the thief's own deque.
    pub(crate) fn steal_batch_into(&self, own: &Owner<T>) -> Steal<T> {
        let (head, tail) = self.ends();
        if head >= tail {
            return Steal::Empty;
        }
        let Steal::Taken(first) = self.take(head) else {
            return Steal::Retry;
        };
        // One exchange an item: see "front against back". Whatever gets in the way ends the batch.
        for _ in 1..(tail - head).div_ceil(2).min(BATCH) {
            match self.steal() {
                Steal::Taken(item) => own.push(item),
                Steal::Empty | Steal::Retry => break,
            }
        }
        Steal::Taken(first)
    }

    /// Whether nothing was there a moment ago. Counts on the caller's own fence (see `sleep`).
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.inner.head.load(Ordering::Acquire);
        self.inner.tail.load(Ordering::Acquire) <= head
    }
}

impl<T: Word> fmt::Debug for Stealer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stealer")
            .field("is_empty", &self.is_empty())
            .finish()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
